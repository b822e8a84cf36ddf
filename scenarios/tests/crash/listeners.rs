//! Listeners on `seckill.exchange` and `seckill.dlx`: every row, every cancel and every dead letter
//! reaches them at least once, and one that is full or gone holds nothing up.

use crate::forged_events::{ORDERS, Queue, Taken};
use crate::fresh_world;
use crate::order_client::Reply;
use crate::wait::until;
use crate::world::{SOMEBODY, World};
use scenarios::stack::Role;
use std::collections::BTreeMap;

const TOTAL: i64 = 1_000;
const COPIES_LEFT: &str =
    "SELECT COUNT(*) FROM outbox WHERE kind = 'copy' AND published_at_ms IS NULL";
const CREATED: &str = "order.create.1";
const CANCELED: &str = "order.canceled";

struct Sale {
    world: World,
    _roles: [Role; 3],
    orders: Role,
    buyer: i64,
    /// What a listener has to hear: by routing key and order, each once.
    told: Vec<(String, i64)>,
}

impl Sale {
    async fn open(mut world: World) -> Self {
        world.set("SECKILL__ORDER__COPIES", true);
        let reconciler = world.role("reconciler").await;
        let consumer = world.role("create-consumer").await;
        let seckill = world.seckill().await;
        let orders = world.orders().await;
        world.open(1).await;
        Self {
            world,
            _roles: [reconciler, consumer, seckill],
            orders,
            buyer: SOMEBODY,
            told: Vec::new(),
        }
    }

    async fn listener(&self, name: &str, exchange: &str) -> Queue {
        let name = self.world.exchange() + name;
        let queue = Queue::foreign(&self.world.stack.amqp_url(), name).await;
        queue.bind(exchange, "#").await;
        queue
    }

    /// Some buy, and every other one of them cancels.
    async fn sells(&mut self, count: i64) {
        for number in 0..count {
            let (user, order) = (self.buyer, self.world.bought(self.buyer).await);
            self.buyer += 1;
            self.told.push((CREATED.to_owned(), order));
            if number % 2 == 0 {
                let reply = self.world.cancel(&self.orders, order, user).await;
                assert_eq!(reply, Reply::Done);
                self.told.push((CANCELED.to_owned(), order));
            }
        }
    }

    /// Takes what there is until `heard` has all that was told.
    async fn hears_all(&self, listener: &Queue, heard: &mut Heard) {
        until("the listener hears of everything", async || {
            heard.take(listener.take().await);
            let missing = self.told.iter().filter(|told| !heard.0.contains_key(told));
            match missing.count() {
                0 => Ok(()),
                missing => Err(format!("{missing} of {} missing", self.told.len())),
            }
        })
        .await;
        for told in heard.0.keys() {
            assert!(self.told.contains(told), "nobody did this: {told:?}");
        }
    }
}

/// How often a listener has heard of what.
#[derive(Debug, Default)]
struct Heard(BTreeMap<(String, i64), u32>);

impl Heard {
    fn take(&mut self, taken: Vec<Taken>) {
        for taken in taken {
            let copy: serde_json::Value =
                serde_json::from_slice(&taken.body).expect("a copy is JSON");
            let order = copy["order_id"].as_i64().expect("it names its order");
            *self.0.entry((taken.routing_key, order)).or_default() += 1;
        }
    }

    fn more_than_once(&self) -> usize {
        self.0.values().filter(|times| **times > 1).count()
    }
}

#[tokio::test]
async fn a_listener_hears_of_every_row_and_every_cancel_though_whoever_tells_it_dies() {
    let mut sale = Sale::open(fresh_world!("listener", TOTAL)).await;
    let (listener, mut heard) = (
        sale.listener(".all", &sale.world.exchange()).await,
        Heard::default(),
    );
    sale.sells(6).await;
    // It has published them all, and remembers none of them.
    let mut dying = sale
        .world
        .armed("cancel-consumer", "copies.after_publish")
        .await;
    sale.world.crashed(&mut dying).await;
    sale.hears_all(&listener, &mut heard).await;
    assert_eq!(heard.more_than_once(), 0, "{heard:?}");
    let all = heard.0.len();
    let mut relay = sale.world.role("cancel-consumer").await;
    sale.world.until_number(COPIES_LEFT, 0).await;
    sale.hears_all(&listener, &mut heard).await;
    assert_eq!(heard.more_than_once(), all, "they come twice: {heard:?}");

    // And at any moment.
    sale.sells(6).await;
    relay.kill().await.expect("killed");
    sale.sells(6).await;
    let _relay = sale.world.role("cancel-consumer").await;
    sale.hears_all(&listener, &mut heard).await;
    sale.world.until_number(COPIES_LEFT, 0).await;
    listener.delete().await;
    sale.world.audit().await;
}

#[tokio::test]
async fn a_listener_that_is_full_or_gone_holds_up_neither_the_sale_nor_another_listener() {
    let mut sale = Sale::open(fresh_world!("full_listener", TOTAL)).await;
    let relay = sale.world.role("cancel-consumer").await;
    let exchange = sale.world.exchange();
    let listener = sale.listener(".all", &exchange).await;
    let gone = sale.listener(".gone", &exchange).await;
    let full = Queue::bounded(&sale.world.stack.amqp_url(), exchange.clone() + ".full", 4).await;
    full.bind(&exchange, "#").await;
    let mut heard = Heard::default();
    sale.sells(4).await;
    gone.delete().await;
    sale.sells(4).await;
    sale.hears_all(&listener, &mut heard).await;
    sale.world.nothing_is_left().await;
    assert!(sale.world.number(COPIES_LEFT).await > 0, "it is full");
    // Whoever is full gets theirs when they read again.
    let mut late = Heard::default();
    sale.hears_all(&full, &mut late).await;
    until("all copies are taken", async || {
        full.take().await;
        match sale.world.number(COPIES_LEFT).await {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await;
    for queue in [listener, full] {
        queue.delete().await;
    }
    drop(relay);
    sale.world.audit().await;
}

#[tokio::test]
async fn a_listener_on_the_dead_letter_exchange_hears_of_every_poison_message() {
    let mut sale = Sale::open(fresh_world!("dead_listener", TOTAL)).await;
    sale.sells(2).await;
    let exchange = format!(
        "{}.dlx",
        sale.world.exchange().trim_end_matches(".exchange")
    );
    let listener = sale.listener(".dead", &exchange).await;
    let queue = Queue::open(&sale.world.stack.amqp_url(), sale.world.queue(1)).await;
    let bodies: Vec<Vec<u8>> = (0..3_u8).map(|number| vec![0xff, number]).collect();
    queue.flood(ORDERS, &bodies).await;
    let _relay = sale.world.role("cancel-consumer").await;
    let mut keys = BTreeMap::new();
    until("it hears of all", async || {
        for taken in listener.take().await {
            *keys.entry(taken.routing_key).or_insert(0) += 1;
        }
        match keys.len() {
            3 => Ok(()),
            _ => Err(format!("{keys:?}")),
        }
    })
    .await;
    let is_dead = |key: &String| key.starts_with("dead-letter.");
    assert!(keys.keys().all(is_dead), "{keys:?}");
    listener.delete().await;
    sale.world.sql("UPDATE parked SET resolved = 1").await;
    sale.world.audit().await;
}
