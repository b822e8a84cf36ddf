//! A cancel on the embedded stack beside whatever may come at the same time, as on servers: itself, a
//! payment, the opening of an epoch, the end of the sale, a process that dies at each of its steps.
//! The order ends in one state, its units go back once, and its buyer can buy again.

use crate::load::{self, Answer};
use crate::order_client::{Reply, ask};
use crate::sale::PRODUCT;
use crate::wait::until;
use crate::{EmbeddedWorld, inspect};
use loadgen::data::Element;
use reports::outcome_log::Operation;
use scenarios::stack::Role;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(4);
pub const LEFT: &str =
    "SELECT COALESCE(SUM(order_count), 0) FROM releases WHERE released_at_ms IS NULL";
pub const EPOCH_IS_WANTED: &str = "UPDATE sales SET wanted_total = total";
/// The steps of a cancel at which the process dies; the order is cancelled then if it is committed.
const STEPS: [(&str, bool); 5] = [
    ("order.after_pool_lock", false),
    ("order.before_commit", false),
    ("order.after_commit", true),
    ("release.after_engine", true),
    ("release.after_mark", true),
];

impl EmbeddedWorld {
    pub async fn buys(&self, all: &Role, user: i64) -> i64 {
        let address = all.listen().expect("it listens");
        let element = Element {
            user_id: user,
            product_id: PRODUCT,
            quantity: 1,
        };
        let order = until("the buyer is served", async || {
            match load::buy(address, element, PATIENCE, self.told.clone()).await {
                Answer::Yes(order) => Ok(order),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        self.until_number(
            &format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}"),
            1,
        )
        .await;
        order
    }

    pub async fn until_number(&self, sql: &str, wanted: i64) {
        until(sql, async || match self.number(sql).await {
            found if found == wanted => Ok(()),
            found => Err(format!("{found}, not {wanted}")),
        })
        .await;
    }

    pub async fn changes(&self, all: &Role, operation: Operation, order: i64, user: i64) -> Reply {
        let address = all.orders().expect("it listens");
        ask(address, operation, (order, user), &self.told).await
    }

    /// Cancelled once, given back once, and the buyer has another order.
    pub async fn is_cancelled(&self, all: &Role, order: i64, user: i64) {
        self.until_number(LEFT, 0).await;
        let row = format!(
            "SELECT COUNT(*) FROM orders WHERE order_id = {order} AND status = 2 AND live IS NULL AND expired = 0"
        );
        assert_eq!(self.number(&row).await, 1, "order {order}");
        let listed = format!("SELECT COUNT(*) FROM releases WHERE orders LIKE '%[{order},%'");
        assert_eq!(self.number(&listed).await, 1);
        until("the buyer can buy again", async || {
            match self.buys(all, user).await {
                same if same == order => Err("the order before".to_owned()),
                _ => Ok(()),
            }
        })
        .await;
    }

    pub async fn opens(&self, all: &Role, epoch: i64) {
        let admin = all.admin().expect("it listens");
        until("the sale is open", async || {
            match inspect::stock(admin, PRODUCT).await {
                Ok(stock) if stock.open && i64::from(stock.epoch) >= epoch => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
}

async fn twice_and_with_a_payment(world: &EmbeddedWorld, all: &Role) {
    let order = world.buys(all, 1).await;
    let cancel = || world.changes(all, Operation::Cancel, order, 1);
    let (first, second) = tokio::join!(cancel(), cancel());
    assert!(first.is_done() != second.is_done(), "{first:?}, {second:?}");
    let already = Reply::Conflict(format!("order {order} is cancelled already"));
    assert_eq!(cancel().await, already);
    world.is_cancelled(all, order, 1).await;

    for user in 2..8 {
        let order = world.buys(all, user).await;
        let (cancelled, paid) = tokio::join!(
            world.changes(all, Operation::Cancel, order, user),
            world.changes(all, Operation::Pay, order, user),
        );
        assert!(
            cancelled.is_done() != paid.is_done(),
            "{cancelled:?}, {paid:?}"
        );
        if cancelled.is_done() {
            world.is_cancelled(all, order, user).await;
        }
    }
}

/// At each step the process dies, and the next one goes on with a further epoch.
async fn dies_at_each_step(world: &mut EmbeddedWorld) {
    for ((step, is_cancelled), user) in STEPS.into_iter().zip(11..) {
        let mut all = world.all(Some(step)).await;
        let order = world.buys(&all, user).await;
        let reply = world.changes(&all, Operation::Cancel, order, user).await;
        // At the last two, the buyer may have been answered before it died.
        assert!(is_cancelled || !reply.is_done(), "{step}: {reply:?}");
        until("it dies", async || {
            match inspect::stock(all.admin().expect("it listens"), PRODUCT).await {
                Ok(stock) => Err(format!("alive: {stock:?}")),
                Err(_) => Ok(()),
            }
        })
        .await;
        all.kill().await.expect("reaped");
        let mut all = world.all(None).await;
        let again = world.changes(&all, Operation::Cancel, order, user).await;
        assert_eq!(again.is_done(), !is_cancelled, "{step}: {again:?}");
        world.is_cancelled(&all, order, user).await;
        all.stop().await.expect("stopped in order");
    }
}

/// While epochs open one after the other, some of the cancels come before, in, and behind each.
async fn beside_epochs(world: &EmbeddedWorld, all: &Role) {
    for user in 21..27 {
        let order = world.buys(all, user).await;
        let epoch = world.number("SELECT newest_epoch FROM sales").await;
        world.sql(EPOCH_IS_WANTED).await;
        if user % 2 == 0 {
            let claimed = format!("SELECT newest_epoch > {epoch} FROM sales");
            world.until_number(&claimed, 1).await;
        }
        let reply = world.changes(all, Operation::Cancel, order, user).await;
        assert_eq!(reply, Reply::Done);
        world.opens(all, epoch + 1).await;
        world.is_cancelled(all, order, user).await;
    }
}

/// Behind the end there is no engine that knows of the sale, and the order is cancelled all the same.
async fn after_the_end(world: &EmbeddedWorld, all: &Role) {
    let order = world.buys(all, 31).await;
    world
        .sql("UPDATE products SET sale_ends_at = strftime('%s') - 1")
        .await;
    world.until_number("SELECT ended FROM sales", 1).await;
    let reply = world.changes(all, Operation::Cancel, order, 31).await;
    assert_eq!(reply, Reply::Done);
    world.until_number(LEFT, 0).await;
    world
        .sql("UPDATE products SET sale_ends_at = strftime('%s') + 3600")
        .await;
    world.opens(all, 1).await;
    world.is_cancelled(all, order, 31).await;
}

async fn cancels_once(engine: &'static str) {
    if !cfg!(debug_assertions) {
        return eprintln!("ignored: failpoints are in debug builds only");
    }
    let mut world = EmbeddedWorld::new(engine).await;
    dies_at_each_step(&mut world).await;
    let mut all = world.all(None).await;
    twice_and_with_a_payment(&world, &all).await;
    beside_epochs(&world, &all).await;
    after_the_end(&world, &all).await;
    all.stop().await.expect("stopped in order");
    world.audit().await;
    world.stack.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn preallocated_cancels_once_whatever_comes_at_the_same_time_on_a_file() {
    cancels_once("preallocated?block=500").await;
}

#[tokio::test]
#[ignore = "nightly: the other engine of the embedded stack"]
async fn database_row_cancels_once_whatever_comes_at_the_same_time_on_a_file() {
    cancels_once("database-row").await;
}
