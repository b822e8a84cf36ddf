//! What a world's buyers do with their orders, and what is to be true of an order afterwards,
//! whatever happened in between.

use crate::load::Answer;
use crate::order_client::{Reply, ask};
use crate::repetitions;
use crate::wait::until;
use crate::world::{World, has_failpoints};
use reports::outcome_log::Operation;
use scenarios::stack::Role;
use scenarios::usage::proc;
use servers::Frozen;
use std::time::{Duration, Instant};

/// Releases that nobody has done yet.
pub const LEFT: &str = "SELECT CAST(COALESCE(SUM(order_count), 0) AS SIGNED) FROM releases WHERE released_at_ms IS NULL";
/// Where those stand that wait for a row which somebody else has locked, or are about to lock one.
pub const LOCKING: &str = "information_schema.processlist WHERE db = DATABASE()
     AND (info LIKE 'SELECT % FOR UPDATE' OR info LIKE 'UPDATE orders SET %')";
/// The steps of the opening of an epoch, in their order.
pub const OPENING: [&str; 3] = [
    "reconciler.after_claim",
    "reconciler.after_grant",
    "reconciler.after_engine_open",
];

/// What the row of an order says, and which releases there are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Cancelled,
    Paid,
    Expired,
}

impl World {
    /// One that listens on a port of its own.
    pub async fn orders(&self) -> Role {
        self.role("order").await
    }

    pub async fn cancel(&self, service: &Role, order: i64, user: i64) -> Reply {
        let address = service.listen().expect("it listens");
        ask(address, Operation::Cancel, (order, user), &self.told).await
    }

    pub async fn pay(&self, service: &Role, order: i64, user: i64) -> Reply {
        let address = service.listen().expect("it listens");
        ask(address, Operation::Pay, (order, user), &self.told).await
    }

    /// Buys one unit, and waits until the order is a row and settled.
    pub async fn bought(&self, user: i64) -> i64 {
        let order = until("the buyer is served", async || {
            match self.buy(user, 1).await {
                Answer::Yes(order) => Ok(order),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let row = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
        self.until_number(&row, 1).await;
        self.quiet().await;
        order
    }

    /// Waits until nothing is left to be given back.
    pub async fn nothing_is_left(&self) {
        self.until_number(LEFT, 0).await;
    }

    /// The row and its releases, exactly.
    pub async fn is(&self, order: i64, ended: Ended) {
        let (status, live, releases, expired) = match ended {
            Ended::Cancelled => (2, 0, 1, 0),
            Ended::Paid => (1, 1, 0, 0),
            Ended::Expired => (2, 0, 1, 1),
        };
        let row = format!(
            "SELECT COUNT(*) FROM orders WHERE order_id = {order} AND status = {status} AND COALESCE(live, 0) = {live}
             AND expired = {expired}"
        );
        assert_eq!(self.number(&row).await, 1, "order {order} is {ended:?}");
        let listed = format!("SELECT COUNT(*) FROM releases WHERE orders LIKE '%[{order},%'");
        assert_eq!(
            self.number(&listed).await,
            releases,
            "releases of order {order}, {ended:?}"
        );
    }

    /// Waits until the buyer of a cancelled order is given another one; returns it, and how long
    /// that took.
    pub async fn buys_again(&self, user: i64, cancelled: i64) -> (i64, Duration) {
        let asked = Instant::now();
        let order = until("the buyer can buy again", async || {
            match self.buy(user, 1).await {
                // Until the release is done the engine knows them by the order before.
                Answer::Yes(order) if order == cancelled => Err("the order before".to_owned()),
                Answer::Yes(order) => Ok(order),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        (order, asked.elapsed())
    }
}

/// A test for each engine, under names of its own, of one that takes the engine and the name of its worlds.
macro_rules! on_engines {
    ($test:ident: $($name:ident: $engine:literal, $world:literal;)+) => {
        $(#[tokio::test]
        async fn $name() {
            $test($engine, $world).await;
        })+
    };
}
pub(crate) use on_engines;

/// Runs a test that needs failpoints and is long, in a world of its own for each of a third of the
/// rounds, and says how long each took.
pub async fn in_each_round(engine: &str, name: &str, total: i64, test: impl AsyncFn(World)) {
    let (rounds, _) = repetitions::from_environment();
    for round in 1..=rounds.div_ceil(3) {
        if !has_failpoints() {
            return;
        }
        let Some(world) = World::start(&format!("{name}{round}"), total).await else {
            return;
        };
        let begun = Instant::now();
        test(world).await;
        eprintln!("{engine}, round {round}: {:?} in all", begun.elapsed());
    }
}

/// Waits until a role has stopped itself at its failpoint.
pub async fn frozen(role: &Role) -> Frozen {
    until(
        &format!("{} freezes", role.name()),
        async || match proc::stat(role.pid()) {
            Some(stat) if stat.state == 'T' => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    Frozen::freeze(role.pid())
}
