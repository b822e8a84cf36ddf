//! Everything that is wrong: missing, negative, overflowing, oversized, not allowed, expired,
//! repeated. Each is refused with its status and a sentence, and leaves every row as it was.

use super::readers::{Readers, SECRET, product, token, until, with};
use database::NO_ARGS;
use std::time::Duration;
use system::config::JwtConfig;
use system::proto::product::*;
use system::tokens::Role;
use tonic::{Code, Request, Response, Status};

fn is<T: std::fmt::Debug>(told: Result<Response<T>, Status>, code: Code, says: &str) {
    let refused = told.expect_err(says);
    assert_eq!(refused.code(), code, "{refused}");
    assert!(refused.message().starts_with(says), "{refused} {says:?}");
}

fn keyed<Q>(mut request: Request<Q>) -> Request<Q> {
    let key = "key".parse().expect("ASCII");
    request.metadata_mut().insert("idempotency-key", key);
    request
}

/// Whatever a refused request could have changed.
async fn rows(readers: &Readers) -> Vec<i64> {
    let sql = "SELECT COUNT(*) FROM products UNION ALL SELECT COUNT(*) FROM stock_changes
         UNION ALL SELECT version FROM products_version UNION ALL SELECT SUM(total) FROM sales";
    let sql = sql.replace("SUM(total)", "CAST(SUM(total) AS SIGNED)");
    readers.numbers(&sql, NO_ARGS).await
}

pub async fn who_reads_is_told_what_is_wrong(readers: &Readers) {
    let mut client = readers.products[0].clone();
    for product_id in [0, -1, i64::MIN] {
        let told = client.get_product(GetProductRequest { product_id }).await;
        let says = format!("product_id must be positive, got {product_id}");
        is(told, Code::InvalidArgument, &says);
    }
    for product_id in [1, i64::MAX] {
        for _ in 0..2 {
            let told = client.get_product(GetProductRequest { product_id }).await;
            is(told, Code::NotFound, "there is no such product");
        }
    }
    // A token is not asked for, so it does no harm either.
    let request = with(GetProductRequest { product_id: 1 }, "Bearer nonsense");
    is(
        client.get_product(request).await,
        Code::NotFound,
        "there is",
    );
    for (page, page_size, status, says) in [
        (
            -1,
            1,
            -1,
            "page must be 1 to 2147483647, or 0 for the first, got -1",
        ),
        (i32::MIN, 1, -1, "page must be 1 to "),
        (1, -1, -1, "page_size must be 1 to 100, or 0 for 20, got -1"),
        (
            1,
            101,
            -1,
            "page_size must be 1 to 100, or 0 for 20, got 101",
        ),
        (1, i32::MAX, -1, "page_size must be"),
        (
            1,
            1,
            -2,
            "status must be -1 (all), 0 (not started), 1 (on) or 2 (ended), got -2",
        ),
        (1, 1, 3, "status must be"),
        (1, 1, i32::MIN, "status must be"),
    ] {
        let request = ListProductsRequest {
            page,
            page_size,
            status,
        };
        is(
            client.list_products(request).await,
            Code::InvalidArgument,
            says,
        );
        let told = client.list_active_seckill_products(request).await;
        is(told, Code::InvalidArgument, says);
    }
    let none = readers.list((i32::MAX, 100, 2)).await.expect("a list");
    assert_eq!(none, (vec![], 0));
}

pub async fn what_is_for_administrators_takes_a_token_of_one_that_holds(readers: &Readers) {
    let id = readers.make(product("shoes", 3_600, 7_200)).await;
    let before = rows(readers).await;
    let jwt = JwtConfig {
        secret: SECRET.to_owned(),
        ..JwtConfig::default()
    };
    let expired = token(&jwt, Role::Admin, Duration::ZERO);
    let foreign = JwtConfig {
        secret: "another key of more than thirty-two bytes".to_owned(),
        ..JwtConfig::default()
    };
    let foreign = token(&foreign, Role::Admin, Duration::from_secs(600));
    let has_expired = async || {
        let request = with(
            DeleteProductRequest {
                product_id: i64::MAX,
            },
            &expired,
        );
        let told = readers.products[0].clone().delete_product(request).await;
        told.expect_err("there is none").code() == Code::Unauthenticated
    };
    until("the token has expired", has_expired).await;
    for (token, code) in [
        ("", Code::Unauthenticated),
        ("Bearer", Code::Unauthenticated),
        ("Bearer nonsense", Code::Unauthenticated),
        (&expired, Code::Unauthenticated),
        (&foreign, Code::Unauthenticated),
        (&readers.user, Code::PermissionDenied),
    ] {
        let mut client = readers.products[0].clone();
        let request = with(product("more", 3_600, 7_200), token);
        is(client.create_product(request).await, code, "");
        let request = UpdateProductRequest {
            product_id: id,
            stock: Some(7),
            ..UpdateProductRequest::default()
        };
        is(client.update_product(with(request, token)).await, code, "");
        let request = with(DeleteProductRequest { product_id: id }, token);
        is(client.delete_product(request).await, code, "");
        let request = DeductStockRequest {
            product_id: id,
            quantity: 1,
        };
        is(
            client.deduct_stock(keyed(with(request, token))).await,
            code,
            "",
        );
        let request = ReturnStockRequest {
            product_id: id,
            quantity: 1,
        };
        is(
            client.return_stock(keyed(with(request, token))).await,
            code,
            "",
        );
    }
    assert_eq!(rows(readers).await, before);
}

pub async fn who_makes_a_product_is_told_what_is_wrong_and_no_row_is_written(readers: &Readers) {
    readers.make(product("shoes", 3_600, 7_200)).await;
    let before = rows(readers).await;
    let mut client = readers.products[0].clone();
    let good = || product("more", 3_600, 7_200);
    for (wrong, says) in [
        (CreateProductRequest::default(), "name must have 1 to 128"),
        (
            CreateProductRequest {
                name: "é".repeat(129),
                ..good()
            },
            "name must have at most 128",
        ),
        (
            CreateProductRequest {
                description: "d".repeat(16_001),
                ..good()
            },
            "description must",
        ),
        (
            CreateProductRequest {
                price: -0.01,
                ..good()
            },
            "price must be in whole cents",
        ),
        (
            CreateProductRequest {
                price: f64::NAN,
                ..good()
            },
            "price must be in whole cents",
        ),
        (
            CreateProductRequest {
                price: 1e300,
                ..good()
            },
            "price must be in whole cents",
        ),
        (
            CreateProductRequest {
                stock: i32::MIN,
                ..good()
            },
            "stock must be 0 to 2147483647",
        ),
        (
            CreateProductRequest {
                image_url: "i".repeat(513),
                ..good()
            },
            "image_url must have",
        ),
        (
            CreateProductRequest {
                seckill_start_time: i64::MIN,
                ..good()
            },
            "seckill_start_time",
        ),
        (
            CreateProductRequest {
                seckill_end_time: i64::MAX,
                ..good()
            },
            "seckill_end_time must",
        ),
        (
            CreateProductRequest {
                seckill_end_time: 0,
                ..good()
            },
            "the window must start before",
        ),
    ] {
        let told = client.create_product(readers.as_admin(wrong)).await;
        is(told, Code::InvalidArgument, says);
    }
    let large = CreateProductRequest {
        description: "d".repeat(70_000),
        ..good()
    };
    let told = client.create_product(readers.as_admin(large)).await;
    assert!(told.is_err(), "larger than any message may be");
    assert_eq!(rows(readers).await, before);
}

pub async fn who_changes_a_product_is_told_what_is_wrong_and_no_row_is_written(readers: &Readers) {
    let id = readers.make(product("shoes", 3_600, 7_200)).await;
    let before = rows(readers).await;
    let mut client = readers.products[0].clone();
    for product_id in [0, -1, i64::MIN] {
        let says = "product_id must be positive, got ";
        let request = readers.as_admin(DeleteProductRequest { product_id });
        is(
            client.delete_product(request).await,
            Code::InvalidArgument,
            says,
        );
        let request = UpdateProductRequest {
            product_id,
            ..UpdateProductRequest::default()
        };
        let told = client.update_product(readers.as_admin(request)).await;
        is(told, Code::InvalidArgument, says);
    }
    for product_id in [id + 1, i64::MAX] {
        let request = readers.as_admin(DeleteProductRequest { product_id });
        is(
            client.delete_product(request).await,
            Code::NotFound,
            "there is no such product",
        );
        let request = UpdateProductRequest {
            product_id,
            ..UpdateProductRequest::default()
        };
        let told = client.update_product(readers.as_admin(request)).await;
        is(told, Code::NotFound, "there is no such product");
    }
    for (wrong, says) in [
        (
            UpdateProductRequest {
                price: Some(0.001),
                ..UpdateProductRequest::default()
            },
            "price",
        ),
        (
            UpdateProductRequest {
                stock: Some(-1),
                ..UpdateProductRequest::default()
            },
            "stock",
        ),
        (
            UpdateProductRequest {
                name: Some(String::new()),
                ..UpdateProductRequest::default()
            },
            "name",
        ),
        (
            UpdateProductRequest {
                seckill_end_time: Some(0),
                ..UpdateProductRequest::default()
            },
            "the window must start before it ends",
        ),
    ] {
        let wrong = UpdateProductRequest {
            product_id: id,
            ..wrong
        };
        let told = client.update_product(readers.as_admin(wrong)).await;
        is(told, Code::InvalidArgument, says);
    }
    for (quantity, says) in [
        (0, "quantity must be 1 to 2147483647, got 0"),
        (i32::MIN, "quantity must be 1 to 2147483647"),
    ] {
        let request = keyed(readers.as_admin(DeductStockRequest {
            product_id: id,
            quantity,
        }));
        is(
            client.deduct_stock(request).await,
            Code::InvalidArgument,
            says,
        );
        let request = keyed(readers.as_admin(ReturnStockRequest {
            product_id: id,
            quantity,
        }));
        is(
            client.return_stock(request).await,
            Code::InvalidArgument,
            says,
        );
    }
    let request = readers.as_admin(ReturnStockRequest {
        product_id: id,
        quantity: 1,
    });
    let says = "metadata idempotency-key is needed";
    is(
        client.return_stock(request).await,
        Code::InvalidArgument,
        says,
    );
    let request = readers.as_admin(DeductStockRequest {
        product_id: id,
        quantity: 1,
    });
    is(
        client.deduct_stock(request).await,
        Code::InvalidArgument,
        says,
    );
    assert_eq!(rows(readers).await, before);
}
