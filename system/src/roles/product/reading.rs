//! What everybody may read of products, and how it looks on the wire.

use super::refusals::{no_product, out_of_reach};
use super::service::{DONE, Service, now_s};
use crate::proto::product::{ListProductsResponse, Product};
use crate::store::{ProductPage, ProductView};
use engines::SaleId;
use tonic::{Response, Status};

impl Service {
    /// One product.
    pub async fn one(&self, sale: SaleId) -> Result<Product, Status> {
        let found = self.store.products(&[sale]).await;
        let found = found.map_err(|error| out_of_reach(&error))?;
        let product = found.first().ok_or_else(no_product)?;
        let left = self.store.units_left(&[sale]).await;
        let left = left.map_err(|error| out_of_reach(&error))?;
        Ok(shown(
            product,
            left.get(&sale).copied().unwrap_or_default(),
            0,
            now_s(),
        ))
    }

    /// A page of products.
    pub async fn list(&self, page: ProductPage) -> Result<Response<ListProductsResponse>, Status> {
        let found = self.store.product_page(&page, now_s()).await;
        let (found, total) = found.map_err(|error| out_of_reach(&error))?;
        let ids: Vec<SaleId> = found.iter().map(|product| product.id).collect();
        let left = self.store.units_left(&ids).await;
        let left = left.map_err(|error| out_of_reach(&error))?;
        let now_s = now_s();
        let products = found.iter().map(|product| {
            let left = left.get(&product.id).copied().unwrap_or_default();
            shown(product, left, 0, now_s)
        });
        Ok(Response::new(ListProductsResponse {
            code: DONE,
            message: String::new(),
            products: products.collect(),
            total: i32::try_from(total).unwrap_or(i32::MAX),
        }))
    }
}

/// A product of which so many units were left so long ago, at `now_s`, unix s.
fn shown(product: &ProductView, left: i64, age_ms: i64, now_s: i64) -> Product {
    Product {
        id: product.id.0,
        name: product.name.clone(),
        description: product.description.clone(),
        price: product.price_cents as f64 / 100.0,
        stock: i32::try_from(left.max(0)).unwrap_or(i32::MAX),
        image_url: product.image_url.clone(),
        seckill_start_time: product.starts_at,
        seckill_end_time: product.ends_at,
        seconds_until_start: (product.starts_at - now_s).max(0),
        seconds_until_end: (product.ends_at - now_s).max(0),
        created_at: product.created_at,
        updated_at: product.updated_at,
        stock_age_ms: age_ms,
    }
}
