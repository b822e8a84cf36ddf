//! What administrators send, judged and turned into what the store takes. Each fault is told with
//! its field and what is allowed.

use crate::money::{EXACT_MAX, whole_cents};
use crate::proto::product::{CreateProductRequest, ListProductsRequest, UpdateProductRequest};
use crate::store::{NewProduct, ProductChange, ProductFilter, ProductPage};
use engines::SaleId;
use tonic::Status;

/// Longest name, description and address of an image, characters. The tables would take more of a
/// description; with so much a page of [`PAGE_MAX`] is within the 4 MiB that clients of gRPC take
/// unless they are told otherwise, and a product is within what administrators may send over HTTP
/// (`system/src/roles/gateway/input.rs`).
pub const NAME_MAX: usize = 128;
pub const DESCRIPTION_MAX: usize = 8_000;
pub const IMAGE_URL_MAX: usize = 512;
/// The end of the year 9999, unix s: in milliseconds, too, it is a number that databases calculate with.
const TIME_MAX: i64 = 253_402_300_799;
/// Products on one page: at most, and where nothing is said.
pub const PAGE_MAX: i32 = 100;
const PAGE_DEFAULT: i32 = 20;

/// The id of a product, which is that of its sale.
pub fn product_id(id: i64) -> Result<SaleId, Status> {
    match id > 0 {
        true => Ok(SaleId(id)),
        false => Err(Status::invalid_argument(format!(
            "product_id must be positive, got {id}"
        ))),
    }
}

/// Which products a list has, by the `status` that is asked for.
pub fn filter(status: i32) -> Result<ProductFilter, Status> {
    match status {
        -1 => Ok(ProductFilter::All),
        0 => Ok(ProductFilter::NotStarted),
        1 => Ok(ProductFilter::On),
        2 => Ok(ProductFilter::Ended),
        _ => Err(Status::invalid_argument(format!(
            "status must be -1 (all), 0 (not started), 1 (on) or 2 (ended), got {status}"
        ))),
    }
}

/// Which part of a list is asked for.
pub fn page(request: &ListProductsRequest, filter: ProductFilter) -> Result<ProductPage, Status> {
    let (page, size) = (request.page, request.page_size);
    if page < 0 {
        return Err(Status::invalid_argument(format!(
            "page must be 1 to {}, or 0 for the first, got {page}",
            i32::MAX
        )));
    }
    if !(0..=PAGE_MAX).contains(&size) {
        return Err(Status::invalid_argument(format!(
            "page_size must be 1 to {PAGE_MAX}, or 0 for {PAGE_DEFAULT}, got {size}"
        )));
    }
    let limit = i64::from(if size == 0 { PAGE_DEFAULT } else { size });
    Ok(ProductPage {
        filter,
        skip: i64::from(page.max(1) - 1) * limit,
        limit,
    })
}

/// Units to deduct or to return.
pub fn quantity(quantity: i32) -> Result<i64, Status> {
    match quantity > 0 {
        true => Ok(i64::from(quantity)),
        false => Err(Status::invalid_argument(format!(
            "quantity must be 1 to {}, got {quantity}",
            i32::MAX
        ))),
    }
}

/// A product to create. Of one unit times `max_quantity` an order must have an exact price.
pub fn new_product(request: CreateProductRequest, max_quantity: u32) -> Result<NewProduct, Status> {
    let product = NewProduct {
        name: name(request.name)?,
        description: text("description", request.description, DESCRIPTION_MAX)?,
        price_cents: cents(request.price, max_quantity)?,
        image_url: text("image_url", request.image_url, IMAGE_URL_MAX)?,
        starts_at: time("seckill_start_time", request.seckill_start_time)?,
        ends_at: time("seckill_end_time", request.seckill_end_time)?,
        total: stock(request.stock)?,
    };
    match product.starts_at < product.ends_at {
        true => Ok(product),
        false => Err(window_out_of_order(product.starts_at, product.ends_at)),
    }
}

/// What is to change of a product.
pub fn product_change(
    request: UpdateProductRequest,
    max_quantity: u32,
) -> Result<ProductChange, Status> {
    let description = |given| text("description", given, DESCRIPTION_MAX);
    let image_url = |given| text("image_url", given, IMAGE_URL_MAX);
    let starts_at = |given| time("seckill_start_time", given);
    let ends_at = |given| time("seckill_end_time", given);
    Ok(ProductChange {
        name: request.name.map(name).transpose()?,
        description: request.description.map(description).transpose()?,
        price_cents: request
            .price
            .map(|given| cents(given, max_quantity))
            .transpose()?,
        image_url: request.image_url.map(image_url).transpose()?,
        starts_at: request.seckill_start_time.map(starts_at).transpose()?,
        ends_at: request.seckill_end_time.map(ends_at).transpose()?,
        total: request.stock.map(stock).transpose()?,
    })
}

/// A window that ends before it starts, or as it does.
pub fn window_out_of_order(starts_at: i64, ends_at: i64) -> Status {
    Status::invalid_argument(format!(
        "the window must start before it ends: seckill_start_time would be {starts_at}, seckill_end_time {ends_at}"
    ))
}

fn name(name: String) -> Result<String, Status> {
    match name.is_empty() {
        true => Err(Status::invalid_argument(format!(
            "name must have 1 to {NAME_MAX} characters"
        ))),
        false => text("name", name, NAME_MAX),
    }
}

fn text(field: &str, text: String, most: usize) -> Result<String, Status> {
    let length = text.chars().count();
    match length <= most {
        true => Ok(text),
        false => Err(Status::invalid_argument(format!(
            "{field} must have at most {most} characters, got {length}"
        ))),
    }
}

fn time(field: &str, time: i64) -> Result<i64, Status> {
    match (0..=TIME_MAX).contains(&time) {
        true => Ok(time),
        false => Err(Status::invalid_argument(format!(
            "{field} must be Unix seconds from 0 to {TIME_MAX}, got {time}"
        ))),
    }
}

fn stock(stock: i32) -> Result<i64, Status> {
    match stock >= 0 {
        true => Ok(i64::from(stock)),
        false => Err(Status::invalid_argument(format!(
            "stock must be 0 to {}, got {stock}",
            i32::MAX
        ))),
    }
}

/// A price in whole cents; of the largest order, too, a double must hold it exactly.
fn cents(price: f64, max_quantity: u32) -> Result<i64, Status> {
    let most = (EXACT_MAX / f64::from(max_quantity.max(1))).floor();
    let is_in_range = |cents: &i64| (0.0..=most).contains(&(*cents as f64));
    if let Some(cents) = whole_cents(price).filter(is_in_range) {
        return Ok(cents);
    }
    Err(Status::invalid_argument(format!(
        "price must be in whole cents from 0 to {:.2}, got {price}",
        most / 100.0
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn told<T: std::fmt::Debug>(refused: Result<T, Status>) -> String {
        let status = refused.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        status.message().to_owned()
    }

    #[test]
    fn a_price_is_whole_cents_or_refused() {
        for (price, expected) in [
            (0.0, 0),
            (-0.0, 0),
            (0.01, 1),
            (0.1 + 0.2, 30),
            (19.99, 1_999),
            (1_234_567.89, 123_456_789),
            (85_899_345.93, 8_589_934_593),
        ] {
            assert_eq!(cents(price, 100).expect("whole"), expected, "{price}");
        }
        for price in [
            0.001,
            19.995,
            -0.01,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e300,
            90_071_992_547_409.92,
        ] {
            let text = told(cents(price, 100));
            assert!(
                text.starts_with("price must be in whole cents from 0 to 900719925474.09"),
                "{text}"
            );
        }
        assert_eq!(
            cents(90_071_992_547_409.92, 1).expect("exact"),
            9_007_199_254_740_992
        );
        told(cents(90_071_992_547_410.0, 1));
    }

    fn request() -> CreateProductRequest {
        CreateProductRequest {
            name: "shoes".to_owned(),
            price: 1.0,
            seckill_start_time: 1,
            seckill_end_time: 2,
            ..CreateProductRequest::default()
        }
    }

    #[test]
    fn each_field_is_refused_with_its_name_and_what_is_allowed() {
        let with = |change: &dyn Fn(&mut CreateProductRequest)| {
            let mut request = request();
            change(&mut request);
            told(new_product(request, 100))
        };
        for (text, expected) in [
            (
                with(&|request| request.name.clear()),
                "name must have 1 to 128 characters",
            ),
            (
                with(&|request| request.name = "é".repeat(129)),
                "name must have at most 128 characters, got 129",
            ),
            (
                with(&|request| request.stock = -1),
                "stock must be 0 to 2147483647, got -1",
            ),
            (
                with(&|request| request.seckill_end_time = i64::MAX),
                "seckill_end_time must be Unix seconds from 0 to 253402300799, got 9223372036854775807",
            ),
            (
                with(&|request| request.seckill_start_time = -1),
                "seckill_start_time must be Unix seconds from 0 to 253402300799, got -1",
            ),
            (
                with(&|request| request.seckill_start_time = 2),
                "the window must start before it ends: seckill_start_time would be 2, seckill_end_time 2",
            ),
        ] {
            assert_eq!(text, expected);
        }
        assert!(new_product(request(), 100).is_ok());
        assert_eq!(told(product_id(0)), "product_id must be positive, got 0");
        assert_eq!(
            told(quantity(-3)),
            "quantity must be 1 to 2147483647, got -3"
        );
    }

    #[test]
    fn what_is_absent_stays_and_what_is_there_is_judged() {
        let change = product_change(UpdateProductRequest::default(), 100).expect("nothing");
        assert!(change.name.is_none() && change.price_cents.is_none() && change.total.is_none());
        let given = UpdateProductRequest {
            price: Some(0.0),
            stock: Some(0),
            ..UpdateProductRequest::default()
        };
        let change = product_change(given, 100).expect("good");
        assert_eq!((change.price_cents, change.total), (Some(0), Some(0)));
        let empty = UpdateProductRequest {
            name: Some(String::new()),
            ..UpdateProductRequest::default()
        };
        told(product_change(empty, 100));
    }
}
