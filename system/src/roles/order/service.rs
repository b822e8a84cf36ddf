//! The gRPC surface of orders: who asks, whether what they ask makes sense, and what they are told.

use super::changer::{Answer, Changer};
use super::counts::Counts;
use super::making::Maker;
use crate::accounts::Access;
use crate::grpc_server::retry_later;
use crate::proto::order::order_service_server::OrderService;
use crate::proto::order::{
    CancelOrderRequest, CancelOrderResponse, CompleteOrderRequest, CompleteOrderResponse,
    CreateOrderRequest, CreateOrderResponse, GetOrderRequest, GetOrderResponse,
    ListUserOrdersRequest, ListUserOrdersResponse, Order, PayOrderRequest, PayOrderResponse,
};
use crate::store::{OrderChange, OrderPage, OrderState, OrderView, OrderWish, Store, status};
use engines::{OrderId, UserId};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// Orders of one page.
const PAGE_DEFAULT: i32 = 20;
const PAGE_MAX: i32 = 100;

/// Answers buyers and administrators.
#[derive(Clone, Debug)]
pub struct Service {
    pub changer: Changer,
    pub counts: Arc<Counts>,
    /// Longest wait for the row of an order that is to be changed.
    pub row_wait: Duration,
    pub maker: Maker,
    pub access: Access,
    /// Largest quantity of one order.
    pub most: u32,
    pub store: Store,
}

#[tonic::async_trait]
impl OrderService for Service {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        self.access.require_admin(request.metadata())?;
        let order = self.maker.make(&self.store, self.most, request).await?;
        Ok(Response::new(CreateOrderResponse {
            code: 0,
            message: String::new(),
            order_id: order.0,
        }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let caller = self.access.caller(request.metadata())?;
        let id = order_id(request.get_ref().order_id)?;
        let found = self.store.order(id).await.map_err(|error| away(&error))?;
        let may_see = |view: &OrderView| {
            caller.is_none_or(|caller| caller.is_admin || caller.user == view.user)
        };
        let view = found.filter(may_see).ok_or_else(|| not_found(id))?;
        Ok(Response::new(GetOrderResponse {
            code: 0,
            message: String::new(),
            order: Some(to_wire(&view)),
        }))
    }

    async fn list_user_orders(
        &self,
        request: Request<ListUserOrdersRequest>,
    ) -> Result<Response<ListUserOrdersResponse>, Status> {
        let asked = request.get_ref();
        let user = self
            .buyer(request.metadata(), asked.user_id)?
            .ok_or_else(|| Status::invalid_argument("user_id must be positive, got 0"))?;
        let page = page(user, asked)?;
        let mut found = self
            .store
            .orders_of(&page)
            .await
            .map_err(|error| away(&error))?;
        let total = self
            .store
            .count_orders_of(user)
            .await
            .map_err(|error| away(&error))?;
        let has_more = found.len() as i64 == page.limit;
        found.truncate(usize::try_from(page.limit - 1).unwrap_or_default());
        let next = found
            .last()
            .filter(|_| has_more)
            .map_or(0, |last| last.order.0);
        Ok(Response::new(ListUserOrdersResponse {
            code: 0,
            message: String::new(),
            orders: found.iter().map(to_wire).collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
            next_before_order_id: next,
        }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let asked = request.get_ref();
        let (order, by) = (asked.order_id, asked.user_id);
        self.change(request.metadata(), (order, by), OrderWish::Cancel)
            .await?;
        Ok(Response::new(CancelOrderResponse::default()))
    }

    async fn pay_order(
        &self,
        request: Request<PayOrderRequest>,
    ) -> Result<Response<PayOrderResponse>, Status> {
        let asked = request.get_ref();
        let (order, by) = (asked.order_id, asked.user_id);
        self.change(request.metadata(), (order, by), OrderWish::Pay)
            .await?;
        Ok(Response::new(PayOrderResponse::default()))
    }

    async fn complete_order(
        &self,
        request: Request<CompleteOrderRequest>,
    ) -> Result<Response<CompleteOrderResponse>, Status> {
        self.access.require_admin(request.metadata())?;
        let order = order_id(request.get_ref().order_id)?;
        self.change_as(order, None, OrderWish::Complete).await?;
        Ok(Response::new(CompleteOrderResponse::default()))
    }
}

impl Service {
    /// Whose orders are meant: one's own by one's token, whoever's for an administrator (`None`: they
    /// named nobody), and who is named where nobody has a token.
    fn buyer(&self, metadata: &MetadataMap, user_id: i64) -> Result<Option<UserId>, Status> {
        let caller = self.access.caller(metadata)?;
        if user_id < 0 {
            let wrong = format!("user_id must be positive, got {user_id}");
            return Err(Status::invalid_argument(wrong));
        }
        let named = (user_id > 0).then_some(UserId(user_id));
        match caller {
            None if named.is_none() => {
                Err(Status::invalid_argument("user_id must be positive, got 0"))
            }
            None => Ok(named),
            Some(caller) if caller.is_admin => Ok(named),
            Some(caller) if named.is_none_or(|user| user == caller.user) => Ok(Some(caller.user)),
            Some(_) => Err(Status::not_found(
                "the orders of another user are not yours to see",
            )),
        }
    }

    async fn change(
        &self,
        metadata: &MetadataMap,
        (order, user): (i64, i64),
        wish: OrderWish,
    ) -> Result<(), Status> {
        let by = self.buyer(metadata, user)?;
        let order = order_id(order)?;
        self.change_as(order, by, wish).await
    }

    async fn change_as(
        &self,
        order: OrderId,
        by: Option<UserId>,
        wish: OrderWish,
    ) -> Result<(), Status> {
        let change = OrderChange { order, by, wish };
        let began = Instant::now();
        let answer = self.changer.ask(change, self.row_wait).await;
        self.counts.answer(wish, &answer, began.elapsed());
        match answer {
            Answer::Done => Ok(()),
            Answer::Is(state) => Err(Status::failed_precondition(conflict(order, wish, state))),
            Answer::NotFound => Err(not_found(order)),
            Answer::NoRowYet => Err(retry_later(format!(
                "order {order} is not written yet; try again"
            ))),
            Answer::Crowded => Err(retry_later(
                "too many requests are waiting; try again".to_owned(),
            )),
            Answer::UserCrowded => Err(retry_later(
                "too many of your requests are waiting; try again".to_owned(),
            )),
            Answer::Away => Err(retry_later(
                "the database cannot be asked; nothing was done; try again".to_owned(),
            )),
            Answer::Unknown => Err(Status::deadline_exceeded(
                "outcome unknown; asking again is safe and says what happened",
            )),
        }
    }
}

/// Why it cannot be.
fn conflict(order: OrderId, wish: OrderWish, state: OrderState) -> String {
    let cannot = match wish {
        OrderWish::Cancel => "cancelled",
        OrderWish::Pay => "paid",
        OrderWish::Expire => "expired",
        OrderWish::Complete => "completed",
    };
    match (wish, state) {
        (OrderWish::Cancel, OrderState::Cancelled)
        | (OrderWish::Pay, OrderState::Paid)
        | (OrderWish::Complete, OrderState::Completed) => format!("order {order} {state} already"),
        (_, OrderState::Expired) => format!("order {order} {state}"),
        _ => format!("order {order} {state}: it cannot be {cannot}"),
    }
}

fn order_id(id: i64) -> Result<OrderId, Status> {
    match id > 0 {
        true => Ok(OrderId(id)),
        false => Err(Status::invalid_argument(format!(
            "order_id must be positive, got {id}"
        ))),
    }
}

fn not_found(order: OrderId) -> Status {
    Status::not_found(format!("there is no order {order} of yours"))
}

fn away(error: &database::Error) -> Status {
    tracing::warn!(%error, "orders cannot be read");
    retry_later("the orders are out of reach; try again".to_owned())
}

/// One order more than is answered, which tells whether there is another page.
fn page(user: UserId, asked: &ListUserOrdersRequest) -> Result<OrderPage, Status> {
    let size = match asked.page_size {
        0 => PAGE_DEFAULT,
        size if (1..=PAGE_MAX).contains(&size) => size,
        size => {
            let wrong = format!("page_size must be 1 to {PAGE_MAX}, got {size}");
            return Err(Status::invalid_argument(wrong));
        }
    };
    if asked.page < 0 || asked.before_order_id < 0 {
        let wrong = format!(
            "page and before_order_id must not be negative, got {} and {}",
            asked.page, asked.before_order_id
        );
        return Err(Status::invalid_argument(wrong));
    }
    Ok(OrderPage {
        user,
        before: match asked.before_order_id {
            0 => OrderId(i64::MAX),
            id => OrderId(id),
        },
        skip: i64::from(asked.page.max(1) - 1) * i64::from(size),
        limit: i64::from(size) + 1,
    })
}

fn to_wire(view: &OrderView) -> Order {
    Order {
        id: view.order.0,
        user_id: view.user.0,
        product_id: view.sale.0,
        quantity: i32::try_from(view.quantity).unwrap_or(i32::MAX),
        total_price: view.total_price_cents as f64 / 100.0,
        status: match view.state {
            OrderState::ToPay => status::TO_PAY,
            OrderState::Paid => status::PAID,
            OrderState::Cancelled | OrderState::Expired => status::CANCELLED,
            OrderState::Completed => status::COMPLETED,
        } as i32,
        created_at: view.created_at_ms / 1_000,
        updated_at: view.updated_at_ms / 1_000,
        expired: view.state == OrderState::Expired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_names_the_order_and_its_state() {
        let told = |wish, state| conflict(OrderId(7), wish, state);
        for (wish, state, text) in [
            (
                OrderWish::Cancel,
                OrderState::Cancelled,
                "order 7 is cancelled already",
            ),
            (
                OrderWish::Cancel,
                OrderState::Paid,
                "order 7 is paid: it cannot be cancelled",
            ),
            (
                OrderWish::Cancel,
                OrderState::Completed,
                "order 7 is completed: it cannot be cancelled",
            ),
            (
                OrderWish::Pay,
                OrderState::Cancelled,
                "order 7 is cancelled: it cannot be paid",
            ),
            (OrderWish::Pay, OrderState::Paid, "order 7 is paid already"),
            (
                OrderWish::Pay,
                OrderState::Expired,
                "order 7 has expired: it was not paid in time",
            ),
            (
                OrderWish::Complete,
                OrderState::ToPay,
                "order 7 is not paid: it cannot be completed",
            ),
        ] {
            assert_eq!(told(wish, state), text);
        }
    }

    #[test]
    fn a_page_is_one_order_larger_than_its_answer_and_its_size_is_bounded() {
        let asked = |page, page_size, before_order_id| ListUserOrdersRequest {
            user_id: 1,
            page,
            page_size,
            before_order_id,
        };
        let third = page(UserId(1), &asked(3, 10, 0)).expect("a page");
        assert_eq!(
            (third.skip, third.limit, third.before.0),
            (20, 11, i64::MAX)
        );
        let first = page(UserId(1), &asked(0, 0, 77)).expect("a page");
        assert_eq!((first.skip, first.limit, first.before.0), (0, 21, 77));
        for wrong in [
            asked(1, 101, 0),
            asked(1, -1, 0),
            asked(-1, 1, 0),
            asked(1, 1, -5),
        ] {
            let refused = page(UserId(1), &wrong).expect_err("refused");
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
    }
}
