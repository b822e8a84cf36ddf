//! Orders that administrators make for others: bought at the seckill service like any other, so that
//! nothing goes around the stock. A key in the metadata makes a repeat harmless.

use crate::config::Config;
use crate::grpc_client::was_not_sent;
use crate::grpc_server::retry_later;
use crate::idempotency::{IDEMPOTENCY_KEY, needed_key};
use crate::money::whole_cents;
use crate::proto::order::CreateOrderRequest;
use crate::proto::seckill::SeckillRequest;
use crate::proto::seckill::seckill_service_client::SeckillServiceClient;
use crate::store::{KnownOrder, MadeOrder, Store};
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

/// Buys for others.
#[derive(Clone, Debug)]
pub struct Maker {
    seckill: SeckillServiceClient<Channel>,
}

impl Maker {
    /// Connects when first needed.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let deadline = Duration::from_millis(config.seckill.publish_timeout_ms) + BEYOND_DEADLINE;
        let endpoint = tls::endpoint("order.seckill_url", &config.order.seckill_url, &config.tls)?
            .connect_timeout(CONNECT_MAX)
            .timeout(deadline);
        Ok(Self {
            seckill: SeckillServiceClient::new(endpoint.connect_lazy()),
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
        let is_first = match begin(store, &made, asked.total_price).await? {
            Begun::Made(order) => return Ok(order),
            Begun::First => true,
            Begun::Again => false,
        };
        let request = SeckillRequest {
            user_id: made.user.0,
            product_id: made.sale.0,
            quantity: asked.quantity,
        };
        let refused = match self.seckill.clone().execute_seckill(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                if answer.success {
                    return conclude(store, &made, OrderId(answer.order_id)).await;
                }
                Status::failed_precondition(answer.message)
            }
            Err(status) if status.source().is_some_and(was_not_sent) => {
                tracing::warn!(error = &status as &dyn Error, "the sale is out of reach");
                retry_later("the sale is out of reach; nothing was done; try again".to_owned())
            }
            Err(status) => return Err(unknown(status)),
        };
        // What this buyer buys from now on is not what was asked for here. What a repeat asks for
        // may have been made before, and its row be still on its way.
        if is_first {
            let forgotten = store.forget_made_order(&made.key).await;
            forgotten.map_err(|error| away(&error))?;
        }
        Err(refused)
    }
}

/// What stands under a key once it is written down what is asked.
enum Begun {
    /// It was made before.
    Made(OrderId),
    /// Nobody has asked before.
    First,
    /// Somebody has, and what became of it is not known.
    Again,
}

/// Writes down what is asked, after it has been judged; the order, if it was made under this key
/// before. Of an answer that was lost on the way the row tells, whatever became of it since; if there
/// is none yet, buying again answers that order, as long as it lives.
async fn begin(store: &Store, made: &MadeOrder, price: f64) -> Result<Begun, Status> {
    let known = async || {
        let known = store.made_order(&made.key).await;
        known.map_err(|error| away(&error))
    };
    if let Some(known) = known().await? {
        return repeated(store, made, known).await;
    }
    check_price(store, made, price).await?;
    let is_new = store.begin_made_order(made).await;
    match is_new.map_err(|error| away(&error))? {
        true => Ok(Begun::First),
        false => match known().await? {
            Some(known) => repeated(store, made, known).await,
            None => Err(Status::internal("what stood under the key is gone")),
        },
    }
}

async fn repeated(store: &Store, made: &MadeOrder, known: KnownOrder) -> Result<Begun, Status> {
    let before = &known.asked;
    if before != made {
        return Err(Status::failed_precondition(format!(
            "this {IDEMPOTENCY_KEY} was used for {} units of product {} for user {}",
            before.quantity, before.sale, before.user
        )));
    }
    if let Some(order) = known.order {
        return Ok(Begun::Made(order));
    }
    let written = store.order_since(made, known.since_ms).await;
    match written.map_err(|error| away(&error))? {
        Some(order) => conclude(store, made, order).await.map(Begun::Made),
        None => Ok(Begun::Again),
    }
}

async fn conclude(store: &Store, made: &MadeOrder, order: OrderId) -> Result<OrderId, Status> {
    let concluded = store.conclude_made_order(made, order).await;
    concluded.map(|()| order).map_err(|error| away(&error))
}

/// What the seckill service says goes on as it is. What is said of a connection that is lost has a
/// cause in this process: then nobody knows.
fn unknown(status: Status) -> Status {
    let is_its_own = match status.code() {
        Code::Unavailable => status.source().is_none(),
        Code::Unknown | Code::Cancelled | Code::Internal => false,
        _ => true,
    };
    match is_its_own {
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
