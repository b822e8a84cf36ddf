//! Changes of stock: asked for once, waited for, and refused in words.

use super::service::{Service, out_of_reach};
use crate::store::{StockChange, TOTAL_MAX, Wish};
use database::fault;
use engines::SaleId;
use std::time::{Duration, Instant};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// How often the answer is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// When to ask again, s.
const RETRY_AFTER_S: u64 = 1;

impl Service {
    /// Writes the wish down, once under its key.
    pub async fn wish(&self, sale: SaleId, delta: i64, key: &str) -> Result<Wish, Status> {
        let deadline = Instant::now() + self.stock_timeout;
        loop {
            match self.store.change_stock(sale, delta, key).await {
                Ok(wish) => return Ok(wish),
                // The grant has the row of the sale for as long as it reads its orders.
                Err(error) if fault::may_be_repeated(&error) && !self.is_late(deadline) => {
                    tracing::debug!(%error, "trying again");
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                Err(error) => return Err(out_of_reach(&error)),
            }
        }
    }

    /// Waits until an epoch has granted the change under `key`: the total as it is with it, and the
    /// change.
    pub async fn applied(&self, sale: SaleId, key: &str) -> Result<(i64, StockChange), Status> {
        let deadline = Instant::now() + self.stock_timeout;
        loop {
            match self.store.stock_change(key).await {
                Ok(Some(known)) => {
                    if let Some(total) = known.change.applied_total {
                        return Ok((total, known.change));
                    }
                }
                Ok(None) => return Err(Status::internal("the change is not there any more")),
                Err(error) => tracing::debug!(%error, "trying again"),
            }
            let is_late = self.is_late(deadline);
            if is_late || self.store.is_over(sale).await.unwrap_or(false) {
                return Err(match is_late {
                    true => retry_later(
                        "the change is still wanted; ask again with the same key".into(),
                    ),
                    false => Status::failed_precondition(format!(
                        "the sale of product {sale} is over, and the change is still wanted: it is made when the \
                         window of the sale is moved"
                    )),
                });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn is_late(&self, deadline: Instant) -> bool {
        Instant::now() >= deadline || self.shutdown.is_requested()
    }
}

/// UNAVAILABLE, with how long to wait in `retry-after`, s.
pub fn retry_later(text: String) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("retry-after", MetadataValue::from(RETRY_AFTER_S));
    Status::with_metadata(Code::Unavailable, text, metadata)
}

/// Why a wish is not one that is known; `delta` is what it asked for.
pub fn wrong_wish(wish: &Wish, delta: i64) -> Status {
    match wish {
        Wish::NoSale => Status::not_found("there is no such product"),
        Wish::Over => Status::failed_precondition(
            "the sale is over, so its stock stays; move its window first: UpdateProduct, seckill_end_time",
        ),
        Wish::OutOfRange(total) if delta < 0 => Status::failed_precondition(format!(
            "{} cannot be deducted: the stock is {total}",
            -delta
        )),
        Wish::OutOfRange(total) => Status::failed_precondition(format!(
            "{delta} cannot be returned: the stock is {total}, and {TOTAL_MAX} is the most"
        )),
        Wish::Crowded => retry_later("too many changes of this sale wait; try again".into()),
        Wish::KeyUsed(used) => {
            let StockChange { sale, delta, .. } = used;
            let what = match delta {
                0 => format!(
                    "create product {sale} with a stock of {}",
                    used.wanted_total
                ),
                ..0 => format!("deduct {} of product {sale}", -delta),
                1.. => format!("return {delta} of product {sale}"),
            };
            Status::failed_precondition(format!("this key was used to {what}"))
        }
        Wish::Known(_) => Status::internal("nothing is wrong with it"),
    }
}
