//! A cancel beside whatever may come at the same time: itself, a payment, the row of its order, the
//! end of the sale. Whoever comes first, and however often, the order ends in one state, its units go
//! back once, and its buyer can buy again.

use crate::load::Answer;
use crate::order_client::Reply;
use crate::orders::{Ended, LOCKING, frozen, in_each_round, on_engines};
use crate::wait::until;
use crate::world::{SOMEBODY, World};
use scenarios::stack::Role;
use std::time::{Duration, Instant};

const TOTAL: i64 = 200;
/// How long a cancel waits for the row of its order.
const ROW_WAIT_MS: u64 = 1_000;
/// Buyers who cancel and buy again, one after the other.
const AGAIN: i64 = 10;

struct Sale {
    world: World,
    _roles: [Role; 3],
    consumer: Role,
    /// Two that serve the same orders.
    services: [Role; 2],
}

impl Sale {
    async fn open(engine: &str, mut world: World) -> Self {
        world.set("SECKILL__SECKILL__ENGINE", engine);
        world.set("SECKILL__ORDER__ROW_WAIT_MS", ROW_WAIT_MS);
        let reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let seckill = world.seckill().await;
        let relay = world.role("cancel-consumer").await;
        let services = [world.orders().await, world.orders().await];
        world.open(1).await;
        Self {
            world,
            _roles: [reconciler, seckill, relay],
            consumer,
            services,
        }
    }

    /// What holds after every interleaving, whichever it was: the buyer of what was cancelled can buy
    /// again, whoever has paid is told of their order, and nothing is left to be done.
    async fn has_ended(&self, user: i64, order: i64, ended: Ended) {
        self.world.nothing_is_left().await;
        self.world.is(order, ended).await;
        if ended == Ended::Paid {
            assert_eq!(self.world.buy(user, 1).await, Answer::Yes(order));
        } else {
            self.world.buys_again(user, order).await;
        }
    }
}

fn already(order: i64) -> Reply {
    Reply::Conflict(format!("order {order} is cancelled already"))
}

/// One is done, and the other is told in which state the order is.
fn one_wins(replies: &[Reply; 2], other: &Reply) {
    let [first, second] = replies;
    let one_each = (first.is_done() && second == other) || (second.is_done() && first == other);
    assert!(one_each, "{replies:?}");
}

async fn twice(sale: &Sale, user: i64) {
    let (world, [first, second]) = (&sale.world, &sale.services);
    for (user, services) in [(user, [first, first]), (user + 1, [first, second])] {
        let order = world.bought(user).await;
        let (a, b) = tokio::join!(
            world.cancel(services[0], order, user),
            world.cancel(services[1], order, user),
        );
        one_wins(&[a, b], &already(order));
        assert_eq!(world.cancel(second, order, user).await, already(order));
        sale.has_ended(user, order, Ended::Cancelled).await;
    }
}

async fn with_a_payment(sale: &Sale, user: i64) {
    let (world, [first, second]) = (&sale.world, &sale.services);
    for (user, payer) in [(user, first), (user + 1, second)] {
        let order = world.bought(user).await;
        let (cancelled, paid) = tokio::join!(
            world.cancel(first, order, user),
            world.pay(payer, order, user)
        );
        let is_cancelled = cancelled.is_done();
        let (lost, why) = match is_cancelled {
            true => (
                &paid,
                format!("order {order} is cancelled: it cannot be paid"),
            ),
            false => (
                &cancelled,
                format!("order {order} is paid: it cannot be cancelled"),
            ),
        };
        assert_eq!(*lost, Reply::Conflict(why), "{cancelled:?}, {paid:?}");
        let ended = match is_cancelled {
            true => Ended::Cancelled,
            false => Ended::Paid,
        };
        sale.has_ended(user, order, ended).await;
    }
}

/// One service stands still in the middle of its transaction while the other is asked.
async fn in_the_middle_of_another(sale: &Sale, user: i64) {
    let (world, [first, _]) = (&sale.world, &sale.services);
    // Before the order is locked, a payment overtakes the cancel.
    let order = world.bought(user).await;
    let slow = world.armed("order", "order.after_pool_lock:1:freeze").await;
    let cancelling = world.cancel(&slow, order, user);
    let paying = async {
        let frozen = frozen(&slow).await;
        let paid = world.pay(first, order, user).await;
        frozen.thaw();
        paid
    };
    let (cancelled, paid) = tokio::join!(cancelling, paying);
    assert_eq!(paid, Reply::Done);
    let why = format!("order {order} is paid: it cannot be cancelled");
    assert_eq!(cancelled, Reply::Conflict(why));
    sale.has_ended(user, order, Ended::Paid).await;

    // Before the commit, everybody else waits, and is told then.
    let user = user + 1;
    let order = world.bought(user).await;
    let slow = world.armed("order", "order.before_commit:1:freeze").await;
    let cancelling = world.cancel(&slow, order, user);
    let others = async {
        let frozen = frozen(&slow).await;
        let thawing = async {
            let waiting = format!("SELECT COUNT(*) FROM {LOCKING}");
            world.until_number(&waiting, 2).await;
            frozen.thaw();
        };
        let (cancelled, paid, ()) = tokio::join!(
            world.cancel(first, order, user),
            world.pay(&sale.services[1], order, user),
            thawing,
        );
        (cancelled, paid)
    };
    let (cancelled, (again, paid)) = tokio::join!(cancelling, others);
    assert_eq!((cancelled, again), (Reply::Done, already(order)));
    let why = format!("order {order} is cancelled: it cannot be paid");
    assert_eq!(paid, Reply::Conflict(why));
    sale.has_ended(user, order, Ended::Cancelled).await;
}

/// The consumer is held back: the cancel waits, then it says when to come back, and leaves nothing
/// behind that could stop the order.
async fn before_its_row(sale: &mut Sale, user: i64) {
    let [first, second] = &sale.services;
    let world = &sale.world;
    sale.consumer.stop().await.expect("stopped in order");
    let order = world.buy(user, 1).await.order();
    let asked = Instant::now();
    let reply = world.cancel(first, order, user).await;
    let waited = asked.elapsed();
    let why = format!("Unavailable: order {order} is not written yet; try again");
    assert_eq!(reply, Reply::Later(why, Some(1)));
    assert!(
        waited >= Duration::from_millis(ROW_WAIT_MS),
        "it waited for {waited:?}"
    );
    let row = format!("SELECT COUNT(*) FROM orders WHERE order_id = {order}");
    assert_eq!(world.number(&row).await, 0, "no tombstone");
    assert_eq!(world.buy(user, 1).await, Answer::Yes(order));
    sale.consumer = world.role("create-consumer").await;
    until("it is cancelled", async || {
        match world.cancel(second, order, user).await {
            Reply::Done => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    sale.has_ended(user, order, Ended::Cancelled).await;
    // Nobody lives who could have minted this one.
    let unheard_of = order | 0x3f_ffff;
    assert_eq!(world.cancel(first, unheard_of, user).await, Reply::NotFound);
    assert_eq!(world.cancel(first, order, user + 1).await, Reply::NotFound);
}

/// Returns the longest time from the answer to a cancel to the yes of the next order.
async fn buys_again_at_once(sale: &Sale, user: i64) -> Duration {
    let (world, [first, second]) = (&sale.world, &sale.services);
    let mut longest = Duration::ZERO;
    for (user, service) in (user..user + AGAIN).zip([first, second].into_iter().cycle()) {
        let order = world.bought(user).await;
        assert_eq!(world.cancel(service, order, user).await, Reply::Done);
        let (next, took) = world.buys_again(user, order).await;
        longest = longest.max(took);
        // And a second time, which is another order's release.
        let row = format!("SELECT COUNT(*) FROM orders WHERE order_id = {next}");
        world.until_number(&row, 1).await;
        assert_eq!(world.cancel(service, next, user).await, Reply::Done);
        assert_eq!(world.cancel(service, order, user).await, already(order));
        world.buys_again(user, next).await;
    }
    longest
}

/// The sale ends with a release that nobody has done, and is cancelled from afterwards, too.
async fn after_the_end(sale: &Sale, user: i64) {
    let (world, [first, _]) = (&sale.world, &sale.services);
    let (left, late) = (world.bought(user).await, world.bought(user + 1).await);
    let mut dying = world.armed("order", "order.after_commit").await;
    let reply = world.cancel(&dying, left, user).await;
    assert!(matches!(reply, Reply::Unknown(_)), "{reply:?}");
    world
        .sql("UPDATE products SET sale_ends_at = UNIX_TIMESTAMP() - 1")
        .await;
    world.crashed(&mut dying).await;
    world
        .until_number("SELECT CAST(ended AS SIGNED) FROM sales", 1)
        .await;
    assert_eq!(world.cancel(first, left, user).await, already(left));
    assert_eq!(world.cancel(first, late, user + 1).await, Reply::Done);
    world.nothing_is_left().await;
    let epoch = world.number("SELECT newest_epoch FROM sales").await;
    world
        .sql("UPDATE products SET sale_ends_at = UNIX_TIMESTAMP() + 3600")
        .await;
    world
        .open(i32::try_from(epoch + 1).expect("few epochs"))
        .await;
    sale.has_ended(user, left, Ended::Cancelled).await;
    sale.has_ended(user + 1, late, Ended::Cancelled).await;
}

async fn beside_everything_else(engine: &str, name: &str) {
    in_each_round(engine, name, TOTAL, async |world| {
        let mut sale = Sale::open(engine, world).await;
        twice(&sale, SOMEBODY).await;
        with_a_payment(&sale, SOMEBODY + 10).await;
        in_the_middle_of_another(&sale, SOMEBODY + 20).await;
        before_its_row(&mut sale, SOMEBODY + 30).await;
        let longest = buys_again_at_once(&sale, SOMEBODY + 40).await;
        sale.world.nothing_is_left().await;
        after_the_end(&sale, SOMEBODY + 60).await;
        sale.world.audit().await;
        eprintln!("{engine}: the longest time from a cancel to the next order was {longest:?}");
    })
    .await;
}

on_engines! {
    beside_everything_else:
    lua_single_key_cancels_once_whatever_comes_at_the_same_time: "lua-single-key", "cancels_lua";
    sharded_slots_cancels_once_whatever_comes_at_the_same_time: "sharded-slots?slots=4", "cancels_slots";
    database_row_cancels_once_whatever_comes_at_the_same_time: "database-row", "cancels_row";
    preallocated_cancels_once_whatever_comes_at_the_same_time: "preallocated?block=20", "cancels_leases";
}
