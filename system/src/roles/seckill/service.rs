//! The gRPC surface: validates, checks the sale's window, hands over to the group commit.

use super::counts::Told;
use super::group_commit::{Asked, Committer};
use super::replies::{Fault, Refusal, Reply};
use super::shared::Shared;
use crate::clock::unix_ms;
use crate::proto::seckill::seckill_service_server::SeckillService;
use crate::proto::seckill::{SeckillRequest, SeckillResponse};
use crate::store::SaleRow;
use crate::telemetry;
use engines::{SaleId, UserId};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// One per serving thread.
#[derive(Clone, Debug)]
pub struct Service {
    pub shared: Arc<Shared>,
    pub committer: Committer,
}

#[tonic::async_trait]
impl SeckillService for Service {
    async fn execute_seckill(
        &self,
        request: Request<SeckillRequest>,
    ) -> Result<Response<SeckillResponse>, Status> {
        let trace = telemetry::of_request(request.extensions());
        let request = request.into_inner();
        let user = self.counted(buyer(&request))?;
        let quantity = self.counted(self.quantity(&request))?;
        let sale = SaleId(request.product_id);
        let known = self.shared.terms.sale(sale);
        let known = known.filter(|row| !row.is_ending && !row.is_deleted);
        let Some(sale) = known else {
            let told = self.counted(self.shared.past_sales.ask(sale, user).await)?;
            self.committer.counts.tell(match told {
                Reply::Accepted(_) => Told::REPEATED,
                other => Told::of(other),
            });
            return told.into_response();
        };
        let now_ms = unix_ms();
        let asked = Asked {
            sale: sale.sale,
            user,
            quantity,
            closed: match request.only_look {
                true => Some(Refusal::NoOrder),
                false => closed(&sale, now_ms),
            },
            not_after_ms: match request.not_after_ms {
                0 => i64::MAX,
                not_after_ms => not_after_ms,
            },
            trace,
        };
        let reply = self.committer.submit(asked, now_ms).await;
        reply.into_response()
    }
}

/// Why `sale` sells nothing at `now_ms` (unix ms), if its window says so, or whoever paused it. It
/// refuses only buyers without an order, so the engine is asked all the same.
fn closed(sale: &SaleRow, now_ms: i64) -> Option<Refusal> {
    if now_ms < sale.starts_at.saturating_mul(1_000) {
        Some(Refusal::NotStarted)
    } else if now_ms >= sale.ends_at.saturating_mul(1_000) {
        Some(Refusal::Ended)
    } else if sale.is_paused {
        Some(Refusal::Paused)
    } else {
        None
    }
}

fn buyer(request: &SeckillRequest) -> Result<UserId, Fault> {
    let user = UserId(request.user_id);
    if user.0 <= 0 {
        return Err(Fault::User(user));
    }
    Ok(user)
}

impl Service {
    /// Counts what is wrong with a request.
    fn counted<T>(&self, judged: Result<T, Fault>) -> Result<T, Fault> {
        judged.inspect_err(|fault| self.committer.counts.tell(Told::of_fault(fault)))
    }

    fn quantity(&self, request: &SeckillRequest) -> Result<u32, Fault> {
        let most = self.shared.config.seckill.max_quantity;
        let quantity = u32::try_from(request.quantity)
            .ok()
            .filter(|quantity| (1..=most).contains(quantity));
        quantity.ok_or(Fault::Quantity {
            got: request.quantity,
            most,
        })
    }
}
