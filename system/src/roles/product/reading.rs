//! What everybody may read of products, and how it looks on the wire.

use super::refusals::{no_product, unseen};
use super::service::{DONE, Service, now_s};
use crate::proto::product::{ListProductsResponse, Product};
use crate::store::{ProductPage, ProductView};
use engines::SaleId;
use futures_util::future::try_join_all;
use tonic::{Response, Status};

impl Service {
    /// One product; NOT_FOUND where there is none.
    pub async fn one(&self, sale: SaleId) -> Result<Product, Status> {
        self.shown(sale).await?.ok_or_else(no_product)
    }

    /// A page of products.
    pub async fn list(&self, page: ProductPage) -> Result<Response<ListProductsResponse>, Status> {
        let page = self.cache.page(page).await.map_err(unseen)?;
        // What was deleted since is missing.
        let products = try_join_all(page.ids.iter().map(|id| self.shown(*id))).await?;
        Ok(Response::new(ListProductsResponse {
            code: DONE,
            message: String::new(),
            products: products.into_iter().flatten().collect(),
            total: i32::try_from(page.total).unwrap_or(i32::MAX),
        }))
    }

    async fn shown(&self, sale: SaleId) -> Result<Option<Product>, Status> {
        let Some(product) = self.cache.product(sale).await.map_err(unseen)? else {
            return Ok(None);
        };
        let (left, at) = self.cache.units_left(sale).await.map_err(unseen)?;
        let age_ms = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
        Ok(Some(on_the_wire(&product, (left, age_ms), now_s())))
    }
}

/// A product of which so many units were left so long ago, ms, at `now_s`, unix s.
fn on_the_wire(product: &ProductView, (left, age_ms): (i64, i64), now_s: i64) -> Product {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::product::input::{DESCRIPTION_MAX, IMAGE_URL_MAX, NAME_MAX, PAGE_MAX};
    use prost::Message;

    /// What clients of gRPC take unless they are told otherwise.
    const USUAL_MAX: usize = 4 * 1024 * 1024;

    #[test]
    fn the_largest_page_is_no_larger_than_what_clients_take() {
        let longest = |characters| "\u{1F45F}".repeat(characters);
        let product = ProductView {
            id: SaleId(i64::MAX),
            name: longest(NAME_MAX),
            description: longest(DESCRIPTION_MAX),
            price_cents: i64::MAX,
            image_url: longest(IMAGE_URL_MAX),
            starts_at: i64::MAX,
            ends_at: i64::MAX,
            created_at: i64::MAX,
            updated_at: i64::MAX,
            version: i64::MAX,
        };
        let product = on_the_wire(&product, (i64::MAX, i64::MAX), 0);
        let page = ListProductsResponse {
            code: DONE,
            message: String::new(),
            products: vec![product; PAGE_MAX as usize],
            total: i32::MAX,
        };
        let bytes = page.encoded_len();
        assert!(bytes <= USUAL_MAX, "{bytes} bytes");
    }
}
