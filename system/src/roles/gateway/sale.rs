//! Buying.

use super::answer::Refusal;
use super::app::{App, Identity};
use super::input::Sent;
use crate::proto::seckill::SeckillRequest;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to buy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Purchase {
    /// The product on sale.
    #[schema(minimum = 1)]
    product_id: i64,
    /// Units, at least one.
    #[serde(default = "one")]
    #[schema(minimum = 1)]
    quantity: i32,
}

fn one() -> i32 {
    1
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Purchased {
    /// 0: bought; 409: not for sale to this buyer.
    code: u16,
    /// Why not.
    message: String,
    /// Whether there is an order.
    success: bool,
    /// The order; 0 without one.
    order_id: i64,
}

/// Buys for whoever the token is of. Who asks again while their order lives is answered with it.
#[utoipa::path(
    post, path = "/api/v1/seckill/execute", tag = "sale", security(("token" = [])),
    request_body = Purchase,
    params(("x-seckill-version" = Option<String>, Header, description = "The version of the instance that is to sell.")),
    responses(
        (status = 200, body = Purchased),
        (status = 409, description = "Sold out, or not on sale.", body = Purchased),
    )
)]
pub async fn execute(
    State(app): State<App>,
    Identity(caller): Identity,
    headers: HeaderMap,
    Sent(purchase): Sent<Purchase>,
) -> Result<Response, Refusal> {
    let request = SeckillRequest {
        user_id: caller.user.0,
        product_id: purchase.product_id,
        quantity: purchase.quantity,
        ..Default::default()
    };
    let told = app.buy(request, &headers).await?;
    let status = match told.success {
        true => StatusCode::OK,
        false => StatusCode::CONFLICT,
    };
    let purchased = Purchased {
        code: match told.success {
            true => 0,
            false => status.as_u16(),
        },
        message: told.message,
        success: told.success,
        order_id: told.order_id,
    };
    Ok((status, Json(purchased)).into_response())
}
