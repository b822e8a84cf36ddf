//! Orders that administrators make for others: bought at the seckill service like any other, so that
//! nothing goes around the stock. A key in the metadata makes a repeat harmless.

use crate::config::Config;
use crate::idempotency::{IDEMPOTENCY_KEY, needed_key};
use crate::proto::order::CreateOrderRequest;
use crate::proto::seckill::SeckillRequest;
use crate::proto::seckill::seckill_service_client::SeckillServiceClient;
use crate::store::{MadeOrder, Store};
use engines::{OrderId, SaleId, UserId};
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

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
        let endpoint = Endpoint::from_shared(config.order.seckill_url.clone())?
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
        check_price(store, &made, asked.total_price).await?;
        let (before, order) = store
            .begin_made_order(&made)
            .await
            .map_err(|error| away(&error))?;
        if before != made {
            return Err(Status::failed_precondition(format!(
                "this {IDEMPOTENCY_KEY} was used for {} units of product {} for user {}",
                before.quantity, before.sale, before.user
            )));
        }
        if let Some(order) = order {
            return Ok(order);
        }
        let request = SeckillRequest {
            user_id: made.user.0,
            product_id: made.sale.0,
            quantity: asked.quantity,
        };
        let answer = self
            .seckill
            .clone()
            .execute_seckill(request)
            .await?
            .into_inner();
        if !answer.success {
            return Err(Status::failed_precondition(answer.message));
        }
        // Without it a repeat buys again, which answers the same order as long as it lives.
        let order = OrderId(answer.order_id);
        store
            .conclude_made_order(&made.key, order)
            .await
            .map_err(|error| away(&error))?;
        Ok(order)
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
    let cost = (price_cents * i64::from(made.quantity)) as f64 / 100.0;
    if named == 0.0 || (named - cost).abs() < 0.005 {
        return Ok(());
    }
    Err(Status::invalid_argument(format!(
        "total_price must be {cost:.2}, which is what {} units cost, or 0; got {named}",
        made.quantity
    )))
}

fn away(error: &database::Error) -> Status {
    tracing::warn!(%error, "an order cannot be made");
    Status::unavailable("the orders are out of reach; try again with the same key")
}
