//! The gRPC surface: who may ask, what is asked, what is answered.

use super::cache::Cache;
use super::input;
use super::refusals::{not_deleted, out_of_reach, wrong_wish};
use crate::accounts::Access;
use crate::clock::unix_ms;
use crate::idempotency;
use crate::proto::product::product_service_server::ProductService;
use crate::proto::product::{
    CreateProductRequest, CreateProductResponse, DeductStockRequest, DeductStockResponse,
    DeleteProductRequest, DeleteProductResponse, GetProductRequest, GetProductResponse,
    ListProductsRequest, ListProductsResponse, ReturnStockRequest, ReturnStockResponse,
    UpdateProductRequest, UpdateProductResponse,
};
use crate::shutdown::Shutdown;
use crate::store::{Changed, Deleted, ProductFilter, StockChange, Store, Wish};
use engines::SaleId;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Done, as `code` says it.
pub const DONE: i32 = 0;

/// Answers everybody.
#[derive(Clone, Debug)]
pub struct Service {
    pub store: Store,
    /// What everybody may read.
    pub cache: Cache,
    /// Who is an administrator.
    pub access: Access,
    /// Units of the largest order.
    pub max_quantity: u32,
    /// Longest wait for a change of stock to be in effect.
    pub stock_timeout: Duration,
    pub shutdown: Shutdown,
}

#[tonic::async_trait]
impl ProductService for Service {
    async fn create_product(
        &self,
        request: Request<CreateProductRequest>,
    ) -> Result<Response<CreateProductResponse>, Status> {
        let admin = self.admin(&request)?;
        let key = idempotency::key(request.metadata())?.map(str::to_owned);
        let product = input::new_product(request.into_inner(), self.max_quantity)?;
        let created = self
            .store
            .create_product(&product, key.as_deref(), now_s())
            .await;
        let created = created.map_err(|error| match key {
            Some(_) => out_of_reach(&error),
            None => Status::deadline_exceeded(format!(
                "outcome unknown: without metadata {} asking again may create it twice ({error})",
                idempotency::IDEMPOTENCY_KEY
            )),
        })?;
        let sale = created.map_err(|used| wrong_wish(&Wish::KeyUsed(used), 0))?;
        tracing::info!(admin, sale = sale.0, "product created");
        self.cache.catch_up().await;
        Ok(Response::new(CreateProductResponse {
            code: DONE,
            message: String::new(),
            product_id: sale.0,
        }))
    }

    async fn update_product(
        &self,
        request: Request<UpdateProductRequest>,
    ) -> Result<Response<UpdateProductResponse>, Status> {
        let admin = self.admin(&request)?;
        let request = request.into_inner();
        let sale = input::product_id(request.product_id)?;
        let change = input::product_change(request, self.max_quantity)?;
        // With a space in it nobody can have sent it.
        let key = format!("update {sale} {:032x}", rand::random::<u128>());
        let changing = self.store.change_product(sale, &change, &key, now_s());
        let wanted = match changing.await.map_err(|error| out_of_reach(&error))? {
            Changed::Done(wanted) => wanted,
            Changed::NoProduct => return Err(wrong_wish(&Wish::NoSale, 0)),
            Changed::WindowOutOfOrder(starts_at, ends_at) => {
                return Err(input::window_out_of_order(starts_at, ends_at));
            }
            Changed::Refused(wish) => return Err(wrong_wish(&wish, 0)),
        };
        tracing::info!(admin, sale = sale.0, ?change, "product changed");
        self.cache.catch_up().await;
        let message = match wanted {
            Some(_) => self.new_total(sale, &key).await?,
            None => String::new(),
        };
        Ok(Response::new(UpdateProductResponse {
            code: DONE,
            message,
        }))
    }

    async fn delete_product(
        &self,
        request: Request<DeleteProductRequest>,
    ) -> Result<Response<DeleteProductResponse>, Status> {
        let admin = self.admin(&request)?;
        let sale = input::product_id(request.into_inner().product_id)?;
        let deleted = self.store.delete_product(sale).await;
        match deleted.map_err(|error| out_of_reach(&error))? {
            Deleted::Done => {}
            otherwise => return Err(not_deleted(sale, otherwise)),
        }
        tracing::info!(admin, sale = sale.0, "product deleted");
        self.cache.catch_up().await;
        Ok(Response::new(DeleteProductResponse {
            code: DONE,
            message: String::new(),
        }))
    }

    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<GetProductResponse>, Status> {
        let sale = input::product_id(request.into_inner().product_id)?;
        let product = self.one(sale).await?;
        Ok(Response::new(GetProductResponse {
            code: DONE,
            message: String::new(),
            product: Some(product),
        }))
    }

    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        let request = request.into_inner();
        let filter = input::filter(request.status)?;
        self.list(input::page(&request, filter)?).await
    }

    async fn list_active_seckill_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        let request = request.into_inner();
        input::filter(request.status)?;
        self.list(input::page(&request, ProductFilter::Selling)?)
            .await
    }

    async fn deduct_stock(
        &self,
        request: Request<DeductStockRequest>,
    ) -> Result<Response<DeductStockResponse>, Status> {
        let admin = self.admin(&request)?;
        let key = idempotency::needed_key(request.metadata())?.to_owned();
        let request = request.into_inner();
        let sale = input::product_id(request.product_id)?;
        let quantity = input::quantity(request.quantity)?;
        let (total, change) = self.change_stock(admin, sale, -quantity, &key).await?;
        let missing = total - change.wanted_total;
        Ok(Response::new(DeductStockResponse {
            success: missing == 0,
            message: match missing {
                0 => format!("the stock is {total}"),
                missing => format!(
                    "deducted {} of {quantity}: {total} are sold",
                    quantity - missing
                ),
            },
        }))
    }

    async fn return_stock(
        &self,
        request: Request<ReturnStockRequest>,
    ) -> Result<Response<ReturnStockResponse>, Status> {
        let admin = self.admin(&request)?;
        let key = idempotency::needed_key(request.metadata())?.to_owned();
        let request = request.into_inner();
        let sale = input::product_id(request.product_id)?;
        let quantity = input::quantity(request.quantity)?;
        let (total, _) = self.change_stock(admin, sale, quantity, &key).await?;
        Ok(Response::new(ReturnStockResponse {
            success: true,
            message: format!("the stock is {total}"),
        }))
    }
}

impl Service {
    /// The administrator who asks, for the logs.
    fn admin<T>(&self, request: &Request<T>) -> Result<i64, Status> {
        let caller = self.access.require_admin(request.metadata())?;
        Ok(caller.user.0)
    }

    /// Asks for another total, and waits until the sale has it.
    async fn change_stock(
        &self,
        admin: i64,
        sale: SaleId,
        delta: i64,
        key: &str,
    ) -> Result<(i64, StockChange), Status> {
        match self.wish(sale, delta, key).await? {
            Wish::Known(_) => {}
            wrong => return Err(wrong_wish(&wrong, delta)),
        }
        tracing::info!(admin, sale = sale.0, delta, key, "stock is to change");
        self.applied(sale, key, "ask again with the same key").await
    }

    /// Waits until a total that was asked for is granted, and says what became of it: the total may
    /// have been asked for before, by a request whose answer was lost, so what counts is what the
    /// sale has.
    async fn new_total(&self, sale: SaleId, key: &str) -> Result<String, Status> {
        let again = "name, price, image and window are changed; ask for the stock again";
        let (applied, change) = self.applied(sale, key, again).await?;
        let wanted = change.wanted_total;
        let total = self.store.total(sale).await;
        let total = total
            .map_err(|error| out_of_reach(&error))?
            .unwrap_or(wanted);
        let why = match (total - wanted, total - applied) {
            (0, _) => return Ok(String::new()),
            (1.., 0) => "so many are sold",
            (1.., _) => "so many are sold, or it was changed again",
            (..0, _) => "it was changed again",
        };
        Ok(format!("the stock is {total}, not {wanted}: {why}"))
    }
}

pub fn now_s() -> i64 {
    unix_ms() / 1_000
}
