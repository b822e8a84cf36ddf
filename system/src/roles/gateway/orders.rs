//! What buyers do with their orders.

use super::answer::{Done, Nothing, Refusal, Refused, done};
use super::app::{App, Identity};
use super::input::{Asked, Sent, id};
use crate::proto::order as wire;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// First pause between two looks for a row that is not there yet.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest such pause.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// An order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Order {
    id: i64,
    user_id: i64,
    product_id: i64,
    quantity: i32,
    /// In whole cents.
    total_price: f64,
    /// 0 to pay, 1 paid, 2 cancelled, 3 completed.
    status: i32,
    /// It was cancelled because it was not paid in time.
    expired: bool,
    /// Unix s.
    created_at: i64,
    /// Unix s.
    updated_at: i64,
}

impl From<wire::Order> for Order {
    fn from(order: wire::Order) -> Self {
        Self {
            id: order.id,
            user_id: order.user_id,
            product_id: order.product_id,
            quantity: order.quantity,
            total_price: order.total_price,
            status: order.status,
            expired: order.expired,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OneOrder {
    order: Option<Order>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Orders {
    /// Newest first.
    orders: Vec<Order>,
    /// How many there are in all.
    total: i32,
    /// `before` of the next page; 0: this is the last.
    next_before: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MadeOrder {
    order_id: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// From 1; 0 is the first.
    #[serde(default)]
    #[param(minimum = 0)]
    page: i32,
    /// 1 to 100; 0 means 20.
    #[serde(default)]
    #[param(minimum = 0, maximum = 100)]
    page_size: i32,
    /// Only orders before this one: costs the same however far one has come.
    #[serde(default)]
    #[param(minimum = 0)]
    before: i64,
    /// For administrators: whose orders.
    #[serde(default)]
    #[param(minimum = 0)]
    user_id: i64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// How long to wait for an order that is not written yet, such as 5s or 500ms.
    #[param(pattern = r"^[0-9]+(ms|s)$", example = "500ms")]
    wait: Option<String>,
}

/// One's own orders, newest first.
#[utoipa::path(
    get, path = "/api/v1/orders/my", tag = "orders", security(("token" = [])), params(Page),
    responses((status = 200, body = Done<Orders>), (status = 404, description = "The orders of somebody else.", body = Refused<'static>))
)]
pub async fn list(
    State(app): State<App>,
    Identity(caller): Identity,
    headers: HeaderMap,
    Asked(page): Asked<Page>,
) -> Result<Done<Orders>, Refusal> {
    let question = wire::ListUserOrdersRequest {
        user_id: match page.user_id {
            0 => caller.user.0,
            named => named,
        },
        page: page.page,
        page_size: page.page_size,
        before_order_id: page.before,
    };
    let call = app.call("/order.OrderService/ListUserOrders", &headers);
    let told: wire::ListUserOrdersResponse = app.order.ask(call, question).await?;
    Ok(done(Orders {
        orders: told.orders.into_iter().map(Order::from).collect(),
        total: told.total,
        next_before: told.next_before_order_id,
    }))
}

/// One of one's own orders. With `wait`, the answer comes as soon as the order is written.
#[utoipa::path(
    get, path = "/api/v1/orders/{id}", tag = "orders", security(("token" = [])),
    params(("id" = i64, Path, minimum = 1), Wait),
    responses((status = 200, body = Done<OneOrder>))
)]
pub async fn get(
    State(app): State<App>,
    Identity(caller): Identity,
    headers: HeaderMap,
    Path(order): Path<String>,
    Asked(wait): Asked<Wait>,
) -> Result<Done<OneOrder>, Refusal> {
    let question = wire::GetOrderRequest {
        order_id: id("the order", &order)?,
    };
    let until = Instant::now() + how_long(wait.wait.as_deref(), app.wait_max)?;
    let mut pause = FIRST_PAUSE;
    loop {
        let call = app.call("/order.OrderService/GetOrder", &headers);
        let told: Result<wire::GetOrderResponse, _> = app.order.ask(call, question).await;
        match told {
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND && Instant::now() < until => {
                let next = Instant::now() + pause;
                tokio::time::sleep_until(next.min(until)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            told => {
                let order = told?.order.map(Order::from);
                // The service looks at the token, too, if it knows of tokens.
                let is_foreign = |order: &Order| !caller.is_admin && order.user_id != caller.user.0;
                if order.as_ref().is_some_and(is_foreign) {
                    let text = format!("there is no order {} of yours", question.order_id);
                    return Err(Refusal::new(StatusCode::NOT_FOUND, text));
                }
                return Ok(done(OneOrder { order }));
            }
        }
    }
}

fn how_long(wait: Option<&str>, most: Duration) -> Result<Duration, Refusal> {
    let Some(wait) = wait else {
        return Ok(Duration::ZERO);
    };
    let parsed = humantime::parse_duration(wait).ok();
    parsed.filter(|wait| *wait <= most).ok_or_else(|| {
        let most = humantime::format_duration(most);
        Refusal::malformed(format!(
            "wait must be a duration such as 500ms, at most {most}, got {wait:?}"
        ))
    })
}

/// An order for somebody else.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    #[schema(minimum = 1)]
    user_id: i64,
    #[schema(minimum = 1)]
    product_id: i64,
    #[schema(minimum = 1)]
    quantity: i32,
    /// 0, or what the units cost.
    #[serde(default)]
    #[schema(minimum = 0)]
    total_price: f64,
}

/// For administrators: buys for somebody else. Needs `Idempotency-Key`.
#[utoipa::path(
    post, path = "/api/v1/orders", tag = "orders", security(("token" = [])), request_body = NewOrder,
    params(("idempotency-key" = String, Header, pattern = r"^[!-~]+$")),
    responses((status = 200, body = Done<MadeOrder>))
)]
pub async fn create(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Sent(order): Sent<NewOrder>,
) -> Result<Done<MadeOrder>, Refusal> {
    let question = wire::CreateOrderRequest {
        user_id: order.user_id,
        product_id: order.product_id,
        quantity: order.quantity,
        total_price: order.total_price,
    };
    let call = app.call("/order.OrderService/CreateOrder", &headers);
    let told: wire::CreateOrderResponse = app.order.ask(call, question).await?;
    let order_id = told.order_id;
    Ok(done(MadeOrder { order_id }))
}

/// Cancels an order that is not paid; its units can be bought again.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/cancel", tag = "orders", security(("token" = [])), params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, body = Done<Nothing>))
)]
pub async fn cancel(
    State(app): State<App>,
    Identity(caller): Identity,
    headers: HeaderMap,
    Path(order): Path<String>,
) -> Result<Done<Nothing>, Refusal> {
    let question = wire::CancelOrderRequest {
        order_id: id("the order", &order)?,
        user_id: acting_for(caller),
    };
    let call = app.call("/order.OrderService/CancelOrder", &headers);
    let wire::CancelOrderResponse { .. } = app.order.ask(call, question).await?;
    Ok(done(Nothing {}))
}

/// Pays an order.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/pay", tag = "orders", security(("token" = [])), params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, body = Done<Nothing>))
)]
pub async fn pay(
    State(app): State<App>,
    Identity(caller): Identity,
    headers: HeaderMap,
    Path(order): Path<String>,
) -> Result<Done<Nothing>, Refusal> {
    let question = wire::PayOrderRequest {
        order_id: id("the order", &order)?,
        user_id: acting_for(caller),
    };
    let call = app.call("/order.OrderService/PayOrder", &headers);
    let wire::PayOrderResponse { .. } = app.order.ask(call, question).await?;
    Ok(done(Nothing {}))
}

/// Whose order they mean: their own, or of an administrator anybody's.
fn acting_for(caller: crate::tokens::Caller) -> i64 {
    match caller.is_admin {
        true => 0,
        false => caller.user.0,
    }
}

/// For administrators: a paid order has been handed over.
#[utoipa::path(
    post, path = "/api/v1/orders/{id}/complete", tag = "orders", security(("token" = [])), params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, body = Done<Nothing>))
)]
pub async fn complete(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(order): Path<String>,
) -> Result<Done<Nothing>, Refusal> {
    let question = wire::CompleteOrderRequest {
        order_id: id("the order", &order)?,
    };
    let call = app.call("/order.OrderService/CompleteOrder", &headers);
    let wire::CompleteOrderResponse { .. } = app.order.ask(call, question).await?;
    Ok(done(Nothing {}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded() {
        let most = Duration::from_secs(10);
        assert_eq!(how_long(None, most).expect("none"), Duration::ZERO);
        assert_eq!(
            how_long(Some("10s"), most).expect("as long as may be"),
            most
        );
        for wrong in ["11s", "-1s", "5", "soon", ""] {
            let refused = how_long(Some(wrong), most).expect_err(wrong);
            assert!(
                refused.message.contains("at most 10s"),
                "{}",
                refused.message
            );
        }
    }
}
