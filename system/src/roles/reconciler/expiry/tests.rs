//! What expires, what does not, and what a row that comes late, a second reconciler or a payment
//! changes about it; on a file and on a server.

use super::*;
use crate::clock::unix_ms;
use crate::envelope::OrderEvent;
use crate::store::tests::on_both;
use crate::store::{OrderState, SeedSale, WriteBatch};
use database::{Database, NO_ARGS, PoolLimits};
use engines::{AllocationId, IncarnationId, Nonce, Registry, UserId};
use std::sync::Arc;

const SALE: SaleId = SaleId(7);
const PATIENCE: Duration = Duration::from_secs(60);
/// Age of an order whose time to pay of 1 s has long ended, ms.
const OLD_MS: i64 = 60_000;

struct World {
    store: Store,
    database: Database,
    allocation: AllocationId,
}

impl World {
    /// A sale of very many units, with an epoch open.
    async fn start(url: &str) -> Self {
        let mut config = Config::default();
        config.database.url = url.to_owned();
        let registry = Registry::standard();
        let store = Store::migrate(&config.database, &registry).await.unwrap();
        let sale = SeedSale {
            product_id: SALE,
            name: "shoes".to_owned(),
            price_cents: 100,
            total: 1_000_000,
            starts_at: 0,
            ends_at: 4_102_444_800,
        };
        store.create_sale(&sale, 0).await.unwrap();
        let epoch = store.claim_epoch(SALE).await.unwrap().unwrap();
        let allocation = store.grant(SALE, epoch).await.unwrap().unwrap();
        let allocation = allocation.allocation_id;
        let term = Term {
            sale: SALE,
            epoch,
            nonce: Nonce(1),
        };
        assert!(store.open_term(&term, allocation).await.unwrap());
        let limits = PoolLimits {
            connections_max: 2,
            statement_max: PATIENCE,
            acquire_max: PATIENCE,
            lock_wait_max: None,
            idle_transaction_max: None,
        };
        let this = Self {
            store,
            database: Database::open(url, &limits).unwrap(),
            allocation,
        };
        this.sql(
            "INSERT INTO incarnations (worker_id, queue, lease_ms, heartbeat_at_ms) VALUES (1, 'q', 1, 1)",
        )
        .await;
        this
    }

    async fn sql(&self, sql: &str) {
        self.database.run(sql, NO_ARGS).await.unwrap();
    }

    async fn number(&self, sql: &str) -> i64 {
        let number = self.database.row(sql, NO_ARGS).await;
        number.unwrap().unwrap_or_else(|| panic!("{sql}: no row"))
    }

    fn order(&self, age_ms: i64, number: i64) -> OrderEvent {
        let minted_ms = unix_ms() - age_ms;
        OrderEvent {
            order: OrderId(last_minted_by(minted_ms - 1).0 + 1 + number),
            user: UserId(number + 1),
            sale: SALE,
            quantity: 2,
            total_price_cents: 200,
            allocation: self.allocation,
            created_at_ms: minted_ms,
        }
    }

    /// The consumer's transaction.
    async fn write(&self, orders: Vec<OrderEvent>) {
        let batch = WriteBatch {
            incarnation: IncarnationId(1),
            orders,
            ..WriteBatch::default()
        };
        self.store.write(&batch).await.unwrap();
    }

    /// Walks until the place is where the newest walk has to end, or the row of an order that is too
    /// late for it has come.
    async fn walk(&self, expiry: &mut Expiry) -> u64 {
        let (mut expired, started) = (0, Instant::now());
        expiry.due = Instant::now();
        loop {
            let pass = expiry.advance(&self.store, None).await;
            expired += pass.orders_expired;
            if pass.left == 0 {
                return expired;
            }
            assert!(started.elapsed() < PATIENCE, "{pass:?}");
        }
    }

    async fn state(&self, order: &OrderEvent) -> Option<OrderState> {
        let sql = "SELECT status, expired FROM orders WHERE order_id = ?";
        let row: Option<(i64, bool)> = self.database.row(sql, [order.order]).await.unwrap();
        row.and_then(|(status, expired)| OrderState::of(status, expired))
    }
}

fn expiry(time_to_pay_s: u64) -> Expiry {
    let mut config = Config::default();
    config.order.time_to_pay_s = time_to_pay_s;
    config.reconciler.interval_ms = 1;
    Expiry::new(&config)
}

on_both!(
    what_is_not_paid_in_time_expires_and_nothing_else,
    an_order_expires_however_late_its_row_is,
    rows_that_come_meanwhile_are_not_passed_over,
    late_rows_take_the_place_back_without_waiting_for_each_other_in_a_circle,
    a_row_that_was_young_when_it_was_written_is_waited_for,
    a_sale_that_cannot_be_changed_holds_up_no_other,
    two_reconcilers_expire_every_order_once,
);

async fn what_is_not_paid_in_time_expires_and_nothing_else(url: String) {
    let world = World::start(&url).await;
    let orders: Vec<OrderEvent> = (0..4).map(|number| world.order(OLD_MS, number)).collect();
    let young = world.order(0, 9);
    world.write(orders.clone()).await;
    world.write(vec![young]).await;
    let [unpaid, paid, cancelled, void] = &orders[..] else {
        unreachable!();
    };
    for (order, wish) in [(paid, OrderWish::Pay), (cancelled, OrderWish::Cancel)] {
        let change = OrderChange {
            order: order.order,
            by: Some(order.user),
            wish,
        };
        let changed = world.store.change_orders(&[change], false).await.unwrap();
        assert!(
            matches!(changed.answers[..], [OrderChanged::Done(_)]),
            "{changed:?}"
        );
    }
    world
        .sql(&format!(
            "UPDATE orders SET status = 4, live = NULL WHERE order_id = {}",
            void.order
        ))
        .await;
    // Without a time to pay, and before it is over, nothing expires.
    assert_eq!(world.walk(&mut expiry(0)).await, 0);
    assert_eq!(world.walk(&mut expiry(900)).await, 0);
    assert_eq!(world.state(unpaid).await, Some(OrderState::ToPay));
    assert_eq!(world.walk(&mut expiry(30)).await, 1);
    assert_eq!(world.state(unpaid).await, Some(OrderState::Expired));
    assert_eq!(world.state(paid).await, Some(OrderState::Paid));
    assert_eq!(world.state(cancelled).await, Some(OrderState::Cancelled));
    assert_eq!(world.state(void).await, None);
    assert_eq!(world.state(&young).await, Some(OrderState::ToPay));
    // Its units went back, and whoever tells the engine knows of it.
    let release = format!(
        "SELECT COUNT(*) FROM releases WHERE orders = '[[{},{},2]]' AND released_at_ms IS NULL",
        unpaid.order, unpaid.user
    );
    assert_eq!(world.number(&release).await, 1);
    let sold = "SELECT sold FROM allocations";
    // The paid one, the young one and, because only its row was changed here, the void one.
    assert_eq!(world.number(sold).await, 6);
}

async fn an_order_expires_however_late_its_row_is(url: String) {
    let world = World::start(&url).await;
    let mut expiry = expiry(1);
    let first = world.order(OLD_MS, 1);
    world.write(vec![first]).await;
    assert_eq!(world.walk(&mut expiry).await, 1);
    let place = world.store.expiry_place().await.unwrap();
    assert!(place > first.order);
    let late = world.order(OLD_MS / 2, 2);
    assert!(first.order < late.order && late.order < place);
    world.write(vec![late]).await;
    let place = world.store.expiry_place().await.unwrap();
    assert_eq!(place, OrderId(late.order.0 - 1), "taken back behind it");
    // Somebody who has read the place before cannot move it over the late one.
    let moved = world.store.move_expiry_place(OrderId(1), late.order).await;
    assert_eq!(moved.unwrap(), PlaceMove::TakenBack);
    let moved = world.store.move_expiry_place(place, late.order).await;
    assert_eq!(moved.unwrap(), PlaceMove::TakenBack, "it is to be paid");
    assert_eq!(world.walk(&mut expiry).await, 1);
    assert_eq!(world.state(&late).await, Some(OrderState::Expired));
    // A young one is not looked for yet, and a redelivery changes nothing that matters.
    let place = world.store.expiry_place().await.unwrap();
    world.write(vec![world.order(0, 3)]).await;
    assert_eq!(world.store.expiry_place().await.unwrap(), place);
    world.write(vec![late]).await;
    assert_eq!(world.walk(&mut expiry).await, 0);
}

/// Rows come in any order, from several consumers, while two reconcilers walk over them.
async fn rows_that_come_meanwhile_are_not_passed_over(url: String) {
    let world = World::start(&url).await;
    const CONSUMERS: i64 = 4;
    const BATCHES: i64 = 25;
    let world = Arc::new(world);
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|consumer| {
            let world = world.clone();
            tokio::spawn(async move {
                for batch in 0..BATCHES {
                    // Every batch is older than the one before it.
                    let age_ms = OLD_MS + batch * CONSUMERS + consumer;
                    let first = (batch * CONSUMERS + consumer) * 10;
                    let orders = (first..first + 10).map(|number| world.order(age_ms, number));
                    world.write(orders.collect()).await;
                }
            })
        })
        .collect();
    let mut walkers = [expiry(1), expiry(1)];
    let mut expired = 0;
    while consumers.iter().any(|consumer| !consumer.is_finished()) {
        for walker in &mut walkers {
            walker.due = Instant::now();
            expired += walker.advance(&world.store, None).await.orders_expired;
        }
    }
    for consumer in consumers {
        consumer.await.unwrap();
    }
    for walker in &mut walkers {
        expired += world.walk(walker).await;
    }
    let unpaid = "SELECT COUNT(*) FROM orders WHERE status = 0";
    assert_eq!(world.number(unpaid).await, 0);
    assert_eq!(expired, (CONSUMERS * BATCHES * 10).unsigned_abs());
}

/// Each of several consumers finds the place beyond what it writes.
async fn late_rows_take_the_place_back_without_waiting_for_each_other_in_a_circle(url: String) {
    let world = World::start(&url).await;
    const ROUNDS: i64 = 50;
    const CONSUMERS: i64 = 4;
    let beyond = format!(
        "UPDATE sweeps SET order_id = {} WHERE name = 'expiry'",
        world.order(0, 0).order
    );
    for round in 0..ROUNDS {
        world.sql(&beyond).await;
        let late = |consumer| world.order(OLD_MS + consumer, round * CONSUMERS + consumer);
        let late: Vec<OrderEvent> = (0..CONSUMERS).map(late).collect();
        let first = late.iter().map(|order| order.order).min().unwrap();
        let written = late.into_iter().map(|order| world.write(vec![order]));
        futures_util::future::join_all(written).await;
        assert!(world.store.expiry_place().await.unwrap() < first);
    }
}

/// A consumer writes the row of a young order, and stands still before its commit for longer than
/// there is time to pay. Others expire meanwhile; it does when it is there.
async fn a_row_that_was_young_when_it_was_written_is_waited_for(url: String) {
    let world = World::start(&url).await;
    if world.database.kind() == database::DatabaseKind::Sqlite {
        // Nobody else writes meanwhile, and so no place moves.
        return;
    }
    let slow = world.order(OLD_MS, 1);
    let mut tx = world.database.begin().await.unwrap();
    let columns = "order_id, user_id, product_id, quantity, total_price_cents, allocation_id, status, live, created_at_ms, updated_at_ms";
    let values = format!(
        "{}, {}, {SALE}, 2, 200, {}, 0, 1, {}, 0",
        slow.order, slow.user, slow.allocation, slow.created_at_ms
    );
    // As the consumer does of a young order, of which the place is not told.
    let insert = format!("INSERT INTO orders ({columns}) VALUES ({values})");
    tx.connection().run(&insert, NO_ARGS).await.unwrap();
    let sold = "UPDATE allocations SET sold = sold + 2";

    let (before, behind) = (world.order(OLD_MS + 1, 2), world.order(OLD_MS - 1, 3));
    world.write(vec![before, behind]).await;
    let mut expiry = expiry(1);
    let pass = expiry.advance(&world.store, None).await;
    assert_eq!(pass.orders_expired, 2, "who stands still holds up nobody");
    assert!(pass.left > 0, "it is not done");
    assert!(world.store.expiry_place().await.unwrap() < slow.order);

    tx.connection().run(sold, NO_ARGS).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.walk(&mut expiry).await, 1);
    assert_eq!(world.state(&slow).await, Some(OrderState::Expired));
}

async fn a_sale_that_cannot_be_changed_holds_up_no_other(url: String) {
    let world = World::start(&url).await;
    let orders: Vec<OrderEvent> = (0..3).map(|number| world.order(OLD_MS, number)).collect();
    world.write(orders.clone()).await;
    let of = |sale: i64| {
        format!(
            "UPDATE orders SET product_id = {sale} WHERE order_id = {}",
            orders[0].order
        )
    };
    // The first is of a sale that has no allocation.
    world.sql(&of(SALE.0 - 1)).await;
    let mut expiry = expiry(1);
    let pass = expiry.advance(&world.store, None).await;
    assert_eq!(pass.orders_expired, 2);
    assert!(pass.left > 0, "it is not done");
    assert!(world.store.expiry_place().await.unwrap() < orders[0].order);
    world.sql(&of(SALE.0)).await;
    assert_eq!(world.walk(&mut expiry).await, 1);
}

async fn two_reconcilers_expire_every_order_once(url: String) {
    let world = World::start(&url).await;
    const ORDERS: i64 = 12_000;
    for first in (0..ORDERS).step_by(2_000) {
        let orders = (first..first + 2_000).map(|number| world.order(OLD_MS, number));
        world.write(orders.collect()).await;
    }
    let (mut one, mut other) = (expiry(1), expiry(1));
    let started = Instant::now();
    let (one, other) = tokio::join!(world.walk(&mut one), world.walk(&mut other));
    let took = started.elapsed();
    assert_eq!(one + other, ORDERS.unsigned_abs());
    println!(
        "{ORDERS} orders expired in {took:?}: {:.0}/s by two reconcilers, {one} and {other}",
        ORDERS as f64 / took.as_secs_f64()
    );
    let expired = "SELECT COUNT(*) FROM orders WHERE status = 2 AND expired = 1 AND live IS NULL";
    assert_eq!(world.number(expired).await, ORDERS);
    let releases = "SELECT CAST(SUM(order_count) AS SIGNED) FROM releases";
    assert_eq!(world.number(releases).await, ORDERS);
    assert_eq!(
        world
            .number("SELECT CAST(SUM(sold) AS SIGNED) FROM allocations")
            .await,
        0
    );
    // Nobody looks at any of them again.
    assert_eq!(world.walk(&mut expiry(1)).await, 0);
}
