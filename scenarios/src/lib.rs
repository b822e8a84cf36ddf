//! The lab: finds or installs servers, starts a private stack, runs the system as processes and
//! drives it through sockets, audits every leg with an oracle of its own, and writes the result.
//! The binary `lab` is a thin layer over this.

pub mod cli;

pub mod catalog;
pub mod scenario;

pub mod audit;
pub mod bench;
pub mod browser;
pub mod capacity;
pub mod regress;

mod counter;
pub mod disk;
pub mod doctor;
pub mod ghz;
pub mod guard;
mod kept;
pub mod limits;
mod private_file;
pub mod profile;
pub mod provenance;
mod seed;
pub mod setup;
pub mod stack;
mod tables;
pub mod testing;
pub mod up;
pub mod usage;
