//! Private servers on free ports, with their data in a scratch folder: started until they answer,
//! and gone afterwards, whatever happens. Tests of engines and of whole systems use them, inside of
//! this workspace and outside:
//!
//! ```no_run
//! # async fn example() -> servers::Result<()> {
//! // Redis is not installed? Then the reason is printed, and there is nothing to test.
//! let Some(redis) = servers::RedisServer::start().await else { return Ok(()) };
//! println!("an engine connects to {}", redis.url());
//! redis.lose("killed, AOF cut").await?;
//! redis.restart().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`RedisServer`], [`RedisCluster`], [`RabbitMqServer`] and [`DatabaseServer`] each have their
//! ways to be killed, frozen and brought back; a [`SilentProxy`] in front of one swallows what was
//! begun. A program that is not installed makes `start` return
//! `None`; with `REQUIRE_SERVERS=1`, as in CI, it fails the test. `LAB_SEARCH_PATH` names the only
//! folders that are searched for programs, in the form of PATH.
//!
//! Who runs servers for another purpose than a test, as the lab does, has a [`Site`]: a folder, a
//! [`Keeper`] that ends what is left, and [`Settings`]. On it [`redis::start`], [`cluster::start`],
//! [`rabbitmq::start`] and [`database::start`] are what the servers of tests are made of, too.
//!
//! This crate depends on nothing of the workspace, and knows nothing of stock, orders or roles.

mod address;
mod error;
mod frozen;
mod ports;
mod process;
mod silent;
mod site;
mod sweeper;
mod testing;

pub mod counting;
pub mod programs;

pub mod amqp;
pub mod cluster;
pub mod database;
pub mod rabbitmq;
pub mod redis;

pub use address::Address;
pub use error::{Error, Result};
pub use frozen::Frozen;
pub use process::Process;
pub use programs::Programs;
pub use silent::SilentProxy;
pub use site::{Settings, Site, Started};
pub use sweeper::Keeper;
pub use testing::database_server::DatabaseServer;
pub use testing::ignored;
pub use testing::rabbitmq_server::RabbitMqServer;
pub use testing::redis_cluster::RedisCluster;
pub use testing::redis_server::{LOSSES, RedisServer};
