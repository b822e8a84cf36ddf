//! Orders that administrators make for others: bought at the seckill service like any other, so that
//! nothing goes around the stock. A key in the metadata makes a repeat harmless.
//!
//! What is asked under a key is written down before it is bought, and one request at a time has the
//! turn to buy. When a turn is over, nothing can be bought in it any more; what was bought in it is
//! still held by the engine, or has a row. So whoever has the next turn asks the engine first, then
//! the rows, and buys only if there is nothing in either.

#[cfg(test)]
mod repeats_tests;

use crate::clock::unix_ms;
use crate::config::Config;
use crate::grpc_client::was_not_sent;
use crate::grpc_server::retry_later;
use crate::idempotency::{IDEMPOTENCY_KEY, needed_key};
use crate::money::whole_cents;
use crate::proto::order::CreateOrderRequest;
use crate::proto::seckill::seckill_service_client::SeckillServiceClient;
use crate::proto::seckill::{SeckillRequest, SeckillResponse};
use crate::store::{BuyingTurn, KnownOrder, MadeOrder, Store};
use crate::tls;
use engines::{OrderId, SaleId, UserId};
use std::error::Error;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// Longest wait for a connection to the seckill service.
const CONNECT_MAX: Duration = Duration::from_secs(2);
/// What the seckill service is given beyond its own deadline.
const BEYOND_DEADLINE: Duration = Duration::from_secs(1);
/// In publish deadlines: how long after its beginning something may be bought in a turn, and when
/// the turn ends. The clocks of those who measure the two are less than one deadline apart.
const MAY_BUY: u64 = 2;
const TURN: u64 = 3;

/// Buys for others.
#[derive(Clone, Debug)]
pub struct Maker {
    seckill: SeckillServiceClient<Channel>,
    publish_timeout_ms: u64,
}

impl Maker {
    /// Connects when first needed.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let publish_timeout_ms = config.seckill.publish_timeout_ms;
        let deadline = Duration::from_millis(publish_timeout_ms) + BEYOND_DEADLINE;
        let endpoint = tls::endpoint("order.seckill_url", &config.order.seckill_url, &config.tls)?
            .connect_timeout(CONNECT_MAX)
            .timeout(deadline);
        Ok(Self {
            seckill: SeckillServiceClient::new(endpoint.connect_lazy()),
            publish_timeout_ms,
        })
    }

    /// The order that was made, now or under the same key before. The caller has been found to be an
    /// administrator.
    pub async fn make(
        &self,
        store: &Store,
        most: u32,
        request: Request<CreateOrderRequest>,
    ) -> Result<OrderId, Status> {
        let key = needed_key(request.metadata())?.to_owned();
        let asked = request.into_inner();
        let made = judge(key, &asked, most)?;
        let making = Making {
            maker: self,
            store,
            made: &made,
            turn: BuyingTurn {
                number: rand::random(),
                lasts_ms: TURN * self.publish_timeout_ms,
            },
        };
        making.make(asked.total_price).await
    }
}

/// One request under a key.
struct Making<'a> {
    maker: &'a Maker,
    store: &'a Store,
    made: &'a MadeOrder,
    turn: BuyingTurn,
}

impl Making<'_> {
    async fn make(&self, price: f64) -> Result<OrderId, Status> {
        let mut before = self.known().await?;
        if before.is_none() {
            check_price(self.store, self.made, price).await?;
            let not_after_ms = self.may_buy_until();
            let is_first = self.store.begin_made_order(self.made, self.turn).await;
            if is_first.map_err(|error| away(&error))? {
                return self.buy(not_after_ms).await;
            }
            before = self.known().await?;
        }
        match before {
            Some(before) => self.again(before).await,
            None => Err(retry_later(
                "what stood under the key has just gone; try again".to_owned(),
            )),
        }
    }

    async fn known(&self) -> Result<Option<KnownOrder>, Status> {
        let known = self.store.made_order(&self.made.key).await;
        known.map_err(|error| away(&error))
    }

    fn may_buy_until(&self) -> i64 {
        unix_ms().saturating_add_unsigned(MAY_BUY * self.maker.publish_timeout_ms)
    }

    /// Somebody has asked before.
    async fn again(&self, known: KnownOrder) -> Result<OrderId, Status> {
        let before = &known.asked;
        if before != self.made {
            return Err(Status::failed_precondition(format!(
                "this {IDEMPOTENCY_KEY} was used for {} units of product {} for user {}",
                before.quantity, before.sale, before.user
            )));
        }
        if let Some(order) = known.order {
            return Ok(order);
        }
        if let Some(order) = self.written(known.since_ms).await? {
            return self.conclude(order).await;
        }
        let not_after_ms = self.may_buy_until();
        let has_turn = self.store.take_buying_turn(&self.made.key, self.turn).await;
        let has_turn = has_turn.map_err(|error| away(&error))?;
        let held = match self.held().await {
            Ok(held) => held,
            Err(status) => {
                self.end_turn().await;
                return Err(status);
            }
        };
        // The row, if there is one: the buyer may have something else by now.
        match self.written(known.since_ms).await?.or(held) {
            Some(order) => self.conclude(order).await,
            None if has_turn => self.buy(not_after_ms).await,
            None => Err(retry_later(
                "what was asked under this key is under way; try again".to_owned(),
            )),
        }
    }

    /// What was asked under this key since then and has a row, whatever became of it.
    async fn written(&self, since_ms: i64) -> Result<Option<OrderId>, Status> {
        let written = self.store.order_since(self.made, since_ms).await;
        written.map_err(|error| away(&error))
    }

    /// What the engine says that the buyer has; nothing is bought.
    async fn held(&self) -> Result<Option<OrderId>, Status> {
        let look = SeckillRequest {
            only_look: true,
            ..self.request()
        };
        let answer = self.call(look).await.map_err(told)?;
        Ok(answer.success.then_some(OrderId(answer.order_id)))
    }

    /// For whoever has the turn.
    async fn buy(&self, not_after_ms: i64) -> Result<OrderId, Status> {
        let purchase = SeckillRequest {
            not_after_ms,
            ..self.request()
        };
        let refused = match self.call(purchase).await {
            Ok(answer) if answer.success => {
                return self.conclude(OrderId(answer.order_id)).await;
            }
            Ok(answer) => Status::failed_precondition(answer.message),
            Err(status) if is_not_sent(&status) => told(status),
            Err(status) => {
                if is_certain(&status) {
                    self.end_turn().await;
                }
                return Err(told(status));
            }
        };
        // What this buyer buys from now on is not what was asked for here.
        let forgotten = self.store.forget_made_order(&self.made.key, self.turn);
        forgotten.await.map_err(|error| away(&error))?;
        Err(refused)
    }

    fn request(&self) -> SeckillRequest {
        SeckillRequest {
            user_id: self.made.user.0,
            product_id: self.made.sale.0,
            quantity: i32::try_from(self.made.quantity).unwrap_or(i32::MAX),
            ..SeckillRequest::default()
        }
    }

    async fn call(&self, request: SeckillRequest) -> Result<SeckillResponse, Status> {
        let mut seckill = self.maker.seckill.clone();
        let answer = seckill.execute_seckill(request).await?;
        Ok(answer.into_inner())
    }

    /// What failed here ends by itself a little later.
    async fn end_turn(&self) {
        if let Err(error) = self.store.end_buying_turn(&self.made.key, self.turn).await {
            tracing::debug!(%error, "a turn is left to end by itself");
        }
    }

    async fn conclude(&self, order: OrderId) -> Result<OrderId, Status> {
        let concluded = self.store.conclude_made_order(self.made, order).await;
        concluded.map_err(|error| away(&error))
    }
}

/// Whether the seckill service itself said this: what is said of a connection that is lost has a
/// cause in this process.
fn is_its_own(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable => status.source().is_none(),
        Code::Unknown | Code::Cancelled | Code::Internal => false,
        _ => true,
    }
}

/// Whether nothing is bought that was not bought before.
fn is_certain(status: &Status) -> bool {
    is_its_own(status) && status.code() != Code::DeadlineExceeded
}

fn is_not_sent(status: &Status) -> bool {
    status.source().is_some_and(was_not_sent)
}

/// What the seckill service says goes on as it is; otherwise nobody knows, unless it was not asked.
fn told(status: Status) -> Status {
    if is_not_sent(&status) {
        tracing::warn!(error = &status as &dyn Error, "the sale is out of reach");
        return retry_later("the sale is out of reach; nothing was done; try again".to_owned());
    }
    unknown(status)
}

/// Of what was sent.
fn unknown(status: Status) -> Status {
    match is_its_own(&status) {
        true => status,
        false => Status::deadline_exceeded(format!(
            "outcome unknown; asking again with the same {IDEMPOTENCY_KEY} is safe and says what happened ({})",
            status.message()
        )),
    }
}

fn judge(key: String, asked: &CreateOrderRequest, most: u32) -> Result<MadeOrder, Status> {
    for (name, id) in [("user_id", asked.user_id), ("product_id", asked.product_id)] {
        if id <= 0 {
            let wrong = format!("{name} must be positive, got {id}");
            return Err(Status::invalid_argument(wrong));
        }
    }
    let quantity = u32::try_from(asked.quantity).unwrap_or_default();
    if !(1..=most).contains(&quantity) {
        let wrong = format!("quantity must be 1 to {most}, got {}", asked.quantity);
        return Err(Status::invalid_argument(wrong));
    }
    Ok(MadeOrder {
        key,
        user: UserId(asked.user_id),
        sale: SaleId(asked.product_id),
        quantity,
    })
}

/// A price that is named must be what the units cost.
async fn check_price(store: &Store, made: &MadeOrder, named: f64) -> Result<(), Status> {
    let price_cents = store
        .price_cents(made.sale)
        .await
        .map_err(|error| away(&error))?;
    let Some(price_cents) = price_cents else {
        return Err(Status::not_found(format!(
            "no product {} is on sale",
            made.sale
        )));
    };
    let cost_cents = price_cents.saturating_mul(i64::from(made.quantity));
    if named == 0.0 || whole_cents(named) == Some(cost_cents) {
        return Ok(());
    }
    let cost = cost_cents as f64 / 100.0;
    Err(Status::invalid_argument(format!(
        "total_price must be {cost:.2}, which is what {} units cost, or 0; got {named}",
        made.quantity
    )))
}

fn away(error: &database::Error) -> Status {
    tracing::warn!(%error, "an order cannot be made");
    retry_later("the orders are out of reach; try again with the same key".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    #[test]
    fn a_refusal_of_the_service_is_one_and_a_lost_connection_leaves_the_outcome_unknown() {
        for code in [
            Code::Unavailable,
            Code::NotFound,
            Code::InvalidArgument,
            Code::ResourceExhausted,
        ] {
            let told = unknown(Status::new(code, "this instance has no lease"));
            assert_eq!(
                (told.code(), told.message()),
                (code, "this instance has no lease")
            );
        }
        let mut lost = Status::unavailable("broken pipe");
        lost.set_source(Arc::new(io::Error::from(io::ErrorKind::BrokenPipe)));
        for lost in [lost, Status::cancelled("time-out"), Status::internal("h2")] {
            let told = unknown(lost);
            assert_eq!(told.code(), Code::DeadlineExceeded);
            assert!(told.message().starts_with("outcome unknown"), "{told:?}");
        }
    }
}
