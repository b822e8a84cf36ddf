//! Changes of stock: asked for once, waited for, and refused in words.

use super::refusals::out_of_reach;
use super::service::Service;
use crate::grpc_server::retry_later;
use crate::store::{StockChange, Wish};
use database::fault;
use engines::SaleId;
use std::time::{Duration, Instant};
use tonic::Status;

/// How often the answer is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

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
    /// change. `again`: what to do if that takes too long, in words.
    pub async fn applied(
        &self,
        sale: SaleId,
        key: &str,
        again: &str,
    ) -> Result<(i64, StockChange), Status> {
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
                    true => retry_later(format!(
                        "the change of the stock is still wanted, and not made yet; {again}"
                    )),
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
