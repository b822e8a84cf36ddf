//! Products and their sales.

use super::answer::{Done, Nothing, Refusal, done, done_saying};
use super::app::{App, Identity};
use super::input::{Asked, Sent, SentLong, id};
use super::upstream::Call;
use crate::proto::product as wire;
use axum::extract::{Path, State};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A product and its sale.
#[derive(Debug, Serialize, ToSchema)]
pub struct Product {
    id: i64,
    name: String,
    description: String,
    /// In whole cents.
    price: f64,
    /// Units without an order, as they were `stock_age_ms` ago.
    stock: i32,
    stock_age_ms: i64,
    image_url: String,
    /// Unix s.
    seckill_start_time: i64,
    /// Unix s.
    seckill_end_time: i64,
    /// 0: it has started.
    seconds_until_start: i64,
    /// 0: it has ended.
    seconds_until_end: i64,
    /// Unix s.
    created_at: i64,
    /// Unix s.
    updated_at: i64,
}

impl From<wire::Product> for Product {
    fn from(product: wire::Product) -> Self {
        Self {
            id: product.id,
            name: product.name,
            description: product.description,
            price: product.price,
            stock: product.stock,
            stock_age_ms: product.stock_age_ms,
            image_url: product.image_url,
            seckill_start_time: product.seckill_start_time,
            seckill_end_time: product.seckill_end_time,
            seconds_until_start: product.seconds_until_start,
            seconds_until_end: product.seconds_until_end,
            created_at: product.created_at,
            updated_at: product.updated_at,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct OneProduct {
    product: Option<Product>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Products {
    /// By id.
    products: Vec<Product>,
    /// How many there are in all.
    total: i32,
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
    /// -1 all, 0 not started, 1 on, 2 ended.
    #[serde(default = "all")]
    #[param(minimum = -1, maximum = 2)]
    status: i32,
}

fn all() -> i32 {
    -1
}

/// All products, or those whose sale has not started, is on, or has ended.
#[utoipa::path(
    get, path = "/api/v1/products", tag = "products", params(Page),
    responses((status = 200, body = Done<Products>))
)]
pub async fn list(
    State(app): State<App>,
    headers: HeaderMap,
    Asked(page): Asked<Page>,
) -> Result<Done<Products>, Refusal> {
    let question = wire::ListProductsRequest {
        page: page.page,
        page_size: page.page_size,
        status: page.status,
    };
    let call = app.call("/product.ProductService/ListProducts", &headers);
    let told: wire::ListProductsResponse = app.product.ask(call, question).await?;
    Ok(done(Products {
        products: told.products.into_iter().map(Product::from).collect(),
        total: told.total,
    }))
}

/// One product, with what is left of it.
#[utoipa::path(
    get, path = "/api/v1/products/{id}", tag = "products", params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, body = Done<OneProduct>))
)]
pub async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    Path(product): Path<String>,
) -> Result<Done<OneProduct>, Refusal> {
    let question = wire::GetProductRequest {
        product_id: id("the product", &product)?,
    };
    let call = app.call("/product.ProductService/GetProduct", &headers);
    let told: wire::GetProductResponse = app.product.ask(call, question).await?;
    let product = told.product.map(Product::from);
    Ok(done(OneProduct { product }))
}

/// For administrators: takes a product away; orders keep it.
#[utoipa::path(
    delete, path = "/api/v1/products/{id}", tag = "products", security(("token" = [])), params(("id" = i64, Path, minimum = 1)),
    responses((status = 200, body = Done<Nothing>))
)]
pub async fn delete(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(product): Path<String>,
) -> Result<Done<Nothing>, Refusal> {
    let question = wire::DeleteProductRequest {
        product_id: id("the product", &product)?,
    };
    let call = app.call("/product.ProductService/DeleteProduct", &headers);
    let wire::DeleteProductResponse { .. } = app.product.ask(call, question).await?;
    Ok(done(Nothing {}))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MadeProduct {
    product_id: i64,
}

/// A product to make, and its sale.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProduct {
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    #[serde(default)]
    #[schema(max_length = 8_000)]
    description: String,
    /// In whole cents.
    #[schema(minimum = 0, multiple_of = 0.01)]
    price: f64,
    #[schema(minimum = 0)]
    stock: i32,
    #[serde(default)]
    #[schema(max_length = 512)]
    image_url: String,
    /// Unix s.
    #[schema(minimum = 0, maximum = 253_402_300_799_i64)]
    seckill_start_time: i64,
    /// Unix s; after the start.
    #[schema(minimum = 0, maximum = 253_402_300_799_i64)]
    seckill_end_time: i64,
}

/// For administrators: makes a product and its sale.
#[utoipa::path(
    post, path = "/api/v1/products", tag = "products", security(("token" = [])), request_body = NewProduct,
    responses((status = 200, body = Done<MadeProduct>))
)]
pub async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    SentLong(new): SentLong<NewProduct>,
) -> Result<Done<MadeProduct>, Refusal> {
    let question = wire::CreateProductRequest {
        name: new.name,
        description: new.description,
        price: new.price,
        stock: new.stock,
        image_url: new.image_url,
        seckill_start_time: new.seckill_start_time,
        seckill_end_time: new.seckill_end_time,
    };
    let call = app.call("/product.ProductService/CreateProduct", &headers);
    let told: wire::CreateProductResponse = app.product.ask(call, question).await?;
    let product_id = told.product_id;
    Ok(done(MadeProduct { product_id }))
}

/// What is to change; what is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductChange {
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    #[schema(max_length = 8_000)]
    description: Option<String>,
    /// In whole cents.
    #[schema(minimum = 0, multiple_of = 0.01)]
    price: Option<f64>,
    /// Units of the sale in all, sold ones included.
    #[schema(minimum = 0)]
    stock: Option<i32>,
    #[schema(max_length = 512)]
    image_url: Option<String>,
    /// Unix s.
    #[schema(minimum = 0, maximum = 253_402_300_799_i64)]
    seckill_start_time: Option<i64>,
    /// Unix s; after the start.
    #[schema(minimum = 0, maximum = 253_402_300_799_i64)]
    seckill_end_time: Option<i64>,
}

/// For administrators: changes a product. A change of stock is answered when it is in effect.
#[utoipa::path(
    put, path = "/api/v1/products/{id}", tag = "products", security(("token" = [])), params(("id" = i64, Path, minimum = 1)),
    request_body = ProductChange,
    responses((status = 200, body = Done<Nothing>))
)]
pub async fn update(
    State(app): State<App>,
    headers: HeaderMap,
    Path(product): Path<String>,
    SentLong(change): SentLong<ProductChange>,
) -> Result<Done<Nothing>, Refusal> {
    let question = wire::UpdateProductRequest {
        product_id: id("the product", &product)?,
        name: change.name,
        description: change.description,
        price: change.price,
        stock: change.stock,
        image_url: change.image_url,
        seckill_start_time: change.seckill_start_time,
        seckill_end_time: change.seckill_end_time,
    };
    let call = of_stock(&app, "/product.ProductService/UpdateProduct", &headers);
    let told: wire::UpdateProductResponse = app.product.ask(call, question).await?;
    Ok(done_saying(told.message, Nothing {}))
}

/// Units to take out of a sale, or to add to it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Units {
    #[schema(minimum = 1)]
    quantity: i32,
}

/// What became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct StockChanged {
    /// Whether it was all that was asked for; the message says how much it was.
    success: bool,
}

/// For administrators: takes units out of a sale. Needs `Idempotency-Key`.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/stock/deduct", tag = "products", security(("token" = [])), request_body = Units,
    params(("id" = i64, Path, minimum = 1), ("idempotency-key" = String, Header, pattern = r"^[!-~]+$")),
    responses((status = 200, body = Done<StockChanged>))
)]
pub async fn deduct(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(product): Path<String>,
    Sent(units): Sent<Units>,
) -> Result<Done<StockChanged>, Refusal> {
    let question = wire::DeductStockRequest {
        product_id: id("the product", &product)?,
        quantity: units.quantity,
    };
    let call = of_stock(&app, "/product.ProductService/DeductStock", &headers);
    let told: wire::DeductStockResponse = app.product.ask(call, question).await?;
    let success = told.success;
    Ok(done_saying(told.message, StockChanged { success }))
}

/// For administrators: adds units to a sale. Needs `Idempotency-Key`.
#[utoipa::path(
    post, path = "/api/v1/products/{id}/stock/return", tag = "products", security(("token" = [])), request_body = Units,
    params(("id" = i64, Path, minimum = 1), ("idempotency-key" = String, Header, pattern = r"^[!-~]+$")),
    responses((status = 200, body = Done<StockChanged>))
)]
pub async fn give_back(
    State(app): State<App>,
    _: Identity,
    headers: HeaderMap,
    Path(product): Path<String>,
    Sent(units): Sent<Units>,
) -> Result<Done<StockChanged>, Refusal> {
    let question = wire::ReturnStockRequest {
        product_id: id("the product", &product)?,
        quantity: units.quantity,
    };
    let call = of_stock(&app, "/product.ProductService/ReturnStock", &headers);
    let told: wire::ReturnStockResponse = app.product.ask(call, question).await?;
    let success = told.success;
    Ok(done_saying(told.message, StockChanged { success }))
}

/// A call that is answered when a sale's next epoch is open.
fn of_stock<'a>(app: &App, method: &'static str, headers: &'a HeaderMap) -> Call<'a> {
    Call {
        timeout: app.stock_timeout,
        ..app.call(method, headers)
    }
}
