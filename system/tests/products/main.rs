//! The product service among all other roles, in one process on a SQLite file: what administrators
//! ask for is what buyers meet. And two instances of it alone, on a file and on a server: what
//! everybody reads.

mod bad_input;
#[path = "../shops/config.rs"]
mod config;
mod readers;
mod reading;
mod shop;
mod who_asks;

use bad_input::{
    what_is_for_administrators_takes_a_token_of_one_that_holds,
    who_changes_a_product_is_told_what_is_wrong_and_no_row_is_written,
    who_makes_a_product_is_told_what_is_wrong_and_no_row_is_written,
    who_reads_is_told_what_is_wrong,
};
use readers::Readers;
use reading::{
    a_change_through_one_instance_is_seen_through_both, a_crowd_of_readers_costs_few_statements,
    a_product_is_deleted_when_nothing_stands_in_the_way,
    a_product_is_read_as_it_was_made_and_with_its_stock,
    lists_have_what_is_asked_for_by_id_and_page_and_count_all_of_it,
};
use shop::{FAR, PATIENCE, RETRY, Shop, shoes};
use system::proto::product::*;
use tonic::Code;

/// Runs each scenario on a file, and all of them one after the other on a server, where the first two
/// find no product.
macro_rules! on_both {
    ($($scenario:ident),+ $(,)?) => {
        mod on_a_file {
            $(#[tokio::test]
            async fn $scenario() {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite://{}", folder.path().join("a.db").display());
                super::Readers::open(&url, super::$scenario).await;
            })+
        }

        #[tokio::test]
        async fn on_a_server() {
            let Some(server) = servers::DatabaseServer::start().await else {
                return;
            };
            let url = server.create_database().await;
            Readers::open(&url, async |readers: &Readers| {
                $(eprintln!("{}", stringify!($scenario));
                $scenario(readers).await;)+
                eprintln!("a_crowd_of_readers_costs_few_statements");
                a_crowd_of_readers_costs_few_statements(readers).await;
            })
            .await;
        }
    };
}

on_both!(
    who_reads_is_told_what_is_wrong,
    lists_have_what_is_asked_for_by_id_and_page_and_count_all_of_it,
    a_product_is_read_as_it_was_made_and_with_its_stock,
    a_change_through_one_instance_is_seen_through_both,
    a_product_is_deleted_when_nothing_stands_in_the_way,
    what_is_for_administrators_takes_a_token_of_one_that_holds,
    who_changes_a_product_is_told_what_is_wrong_and_no_row_is_written,
    who_makes_a_product_is_told_what_is_wrong_and_no_row_is_written,
);

#[tokio::test]
async fn a_sale_that_is_made_at_run_time_sells_and_its_stock_changes() {
    Shop::open(async |shop: &Shop| {
        let id = shop.create(2, Some("make")).await.expect("made");
        assert_eq!(shop.create(2, Some("make")).await.expect("once"), id);
        for user in [1, 2] {
            assert!(shop.buy(user, id).await.success);
        }
        assert_eq!(shop.buy(3, id).await.message, "sold out");
        let raised = (true, "the stock is 4".to_owned());
        for _ in 0..2 {
            assert_eq!(shop.add(id, 2, "more").await.expect("added"), raised);
        }
        assert!(shop.buy(3, id).await.success);
        let order = shop.buy(1, id).await;
        assert!(order.success, "whoever has an order keeps it");
        let cut = shop.deduct(id, 3, "fewer").await.expect("deducted");
        assert_eq!(cut, (false, "deducted 1 of 3: 3 are sold".to_owned()));
        assert_eq!(shop.buy(4, id).await.message, "sold out");
        let wrong = shop.deduct(id, 2, "fewer").await.expect_err("another");
        assert_eq!(wrong.code(), Code::FailedPrecondition);
        let used = format!("this key was used to deduct 3 of product {id}");
        assert_eq!(wrong.message(), used);
        let stock = UpdateProductRequest {
            product_id: id,
            stock: Some(5),
            ..UpdateProductRequest::default()
        };
        assert_eq!(shop.update(stock).await.expect("changed"), "");
        assert!(shop.buy(4, id).await.success);
        let stock = UpdateProductRequest {
            product_id: id,
            stock: Some(0),
            ..UpdateProductRequest::default()
        };
        let told = shop.update(stock).await.expect("as far as possible");
        assert_eq!(told, "the stock is 4, not 0: so many are sold");
        let granted = shop.numbers("SELECT SUM(granted) FROM allocations").await;
        assert_eq!(granted, [4]);
    })
    .await;
}

#[tokio::test]
async fn an_order_has_the_price_from_before_a_change_or_from_after_it() {
    Shop::open(async |shop: &Shop| {
        let id = shop.create(1_000, None).await.expect("made");
        assert!(shop.buy(1, id).await.success);
        let price = UpdateProductRequest {
            product_id: id,
            price: Some(0.1 + 0.2),
            ..UpdateProductRequest::default()
        };
        shop.update(price).await.expect("changed");
        // The services read it before long.
        let mut user = 1;
        let prices = "SELECT DISTINCT total_price_cents FROM orders ORDER BY 1";
        let changing = async {
            loop {
                user += 1;
                assert!(shop.buy(user, id).await.success);
                match shop.numbers(prices).await[..] {
                    // Rows come a moment after the yes.
                    [] | [1_999] => {}
                    [30, 1_999] => return,
                    ref other => panic!("{other:?}"),
                }
            }
        };
        let changed = tokio::time::timeout(PATIENCE, changing).await;
        changed.expect("somebody pays the new price");
        // From here on it is the new one.
        let last = user + 5;
        for user in user + 1..=last {
            assert!(shop.buy(user, id).await.success);
        }
        let rows = async {
            while shop.numbers("SELECT COUNT(*) FROM orders").await != [last] {
                tokio::time::sleep(RETRY).await;
            }
        };
        let rows = tokio::time::timeout(PATIENCE, rows).await;
        rows.expect("every order has its row");
        let new = format!(
            "SELECT COUNT(*) FROM orders WHERE total_price_cents = 30 AND user_id > {}",
            last - 5
        );
        assert_eq!(shop.numbers(&new).await, [5]);
        assert_eq!(shop.numbers(prices).await, [30, 1_999]);
    })
    .await;
}

#[tokio::test]
async fn a_moved_window_closes_a_sale_and_opens_it_again() {
    Shop::open(async |shop: &Shop| {
        let id = shop.create(10, None).await.expect("made");
        assert!(shop.buy(1, id).await.success);
        let window = async |ends_at| {
            let window = UpdateProductRequest {
                product_id: id,
                seckill_end_time: Some(ends_at),
                ..UpdateProductRequest::default()
            };
            shop.update(window).await.expect("changed");
        };
        let until_told = async |first: i64, wanted: &str| {
            let asking = async {
                for user in first.. {
                    if shop.buy(user, id).await.message == wanted {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            };
            let told = tokio::time::timeout(PATIENCE, asking).await;
            told.unwrap_or_else(|_| panic!("nobody is told {wanted:?}"));
        };
        window(2).await;
        until_told(2, "the sale has ended").await;
        let over = shop.add(id, 1, "late").await.expect_err("it is over");
        assert_eq!(over.code(), Code::FailedPrecondition);
        assert!(over.message().contains("move its window first"), "{over}");
        window(FAR).await;
        // An empty text is what a buyer with an order is told.
        until_told(100, "").await;
        let more = shop.add(id, 1, "late").await.expect("it is on");
        assert_eq!(more, (true, "the stock is 11".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn buyers_of_a_deleted_product_hear_that_there_is_none() {
    Shop::open(async |shop: &Shop| {
        let id = shop.create(1, None).await.expect("made");
        let window = UpdateProductRequest {
            product_id: id,
            seckill_start_time: Some(FAR - 1),
            ..UpdateProductRequest::default()
        };
        shop.update(window).await.expect("changed");
        let asking = async {
            while shop.buy(1, id).await.message != "the sale has not started" {
                tokio::time::sleep(RETRY).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, asking).await;
        told.expect("it has not started");
        let delete = "/product.ProductService/DeleteProduct";
        let request = DeleteProductRequest { product_id: id };
        let deleted = shop.ask::<_, DeleteProductResponse>(delete, request, &shop.admin, None);
        deleted.await.expect("deleted");
        let asking = async {
            loop {
                let told = shop.try_to_buy(2, id).await;
                match told.map_err(|status| (status.code(), status.message().to_owned())) {
                    Err((Code::NotFound, why)) => return why,
                    // Who sells has not read of it yet.
                    Ok(answer) => assert!(!answer.success, "{answer:?}"),
                    Err((Code::Unavailable, _)) => {}
                    Err(other) => panic!("{other:?}"),
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        let told = tokio::time::timeout(PATIENCE, asking).await;
        let unknown = shop.try_to_buy(2, id + 1).await.expect_err("unknown");
        let unknown = unknown
            .message()
            .replace(&(id + 1).to_string(), &id.to_string());
        assert_eq!(told.expect("it is gone"), unknown);
        // It ends as every sale does.
        let ended = async {
            while shop.numbers("SELECT ended FROM sales").await != [1] {
                tokio::time::sleep(RETRY).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.expect("nobody looks after it any more");
        assert_eq!(
            shop.try_to_buy(2, id).await.expect_err("gone").code(),
            Code::NotFound
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_words_and_leaves_no_row() {
    Shop::open(async |shop: &Shop| {
        let create = "/product.ProductService/CreateProduct";
        let told = async |request: CreateProductRequest, token: &str, key: Option<&str>| {
            let made = shop.ask::<_, CreateProductResponse>(create, request, token, key);
            let status = made.await.expect_err("refused");
            (status.code(), status.message().to_owned())
        };
        let (code, _) = told(shoes(1), "", None).await;
        assert_eq!(code, Code::Unauthenticated);
        let (code, _) = told(shoes(1), &shop.user, None).await;
        assert_eq!(code, Code::PermissionDenied);
        let backwards = CreateProductRequest {
            seckill_start_time: FAR + 1,
            ..shoes(1)
        };
        let (code, why) = told(backwards, &shop.admin, None).await;
        assert_eq!(code, Code::InvalidArgument);
        assert!(
            why.starts_with("the window must start before it ends"),
            "{why}"
        );
        for (request, key, wrong) in [
            (
                CreateProductRequest {
                    price: 0.001,
                    ..shoes(1)
                },
                None,
                "price",
            ),
            (shoes(-1), None, "stock"),
            (shoes(1), Some("with space"), "metadata idempotency-key"),
        ] {
            let (code, why) = told(request, &shop.admin, key).await;
            assert_eq!(code, Code::InvalidArgument);
            assert!(why.starts_with(wrong), "{why}");
        }
        assert!(shop.numbers("SELECT id FROM products").await.is_empty());

        let id = shop.create(1, None).await.expect("made");
        let nobody = shop.deduct(id + 1, 1, "k").await.expect_err("unknown");
        assert_eq!(nobody.code(), Code::NotFound);
        let negative = shop.deduct(-1, 1, "k").await.expect_err("no id");
        assert_eq!(negative.code(), Code::InvalidArgument);
        let none = shop.deduct(id, 0, "k").await.expect_err("no quantity");
        assert_eq!(none.code(), Code::InvalidArgument);
        let many = shop.deduct(id, 2, "k").await.expect_err("too many");
        assert_eq!(many.code(), Code::FailedPrecondition);
        assert_eq!(many.message(), "2 cannot be deducted: the stock is 1");
        let deduct = "/product.ProductService/DeductStock";
        let request = DeductStockRequest {
            product_id: id,
            quantity: 1,
        };
        let keyless = shop.ask::<_, DeductStockResponse>(deduct, request, &shop.admin, None);
        let keyless = keyless.await.expect_err("it needs a key");
        assert_eq!(keyless.code(), Code::InvalidArgument);
        assert!(
            keyless
                .message()
                .starts_with("metadata idempotency-key is needed")
        );
        let window = UpdateProductRequest {
            product_id: id,
            price: Some(1.0),
            seckill_end_time: Some(1),
            ..UpdateProductRequest::default()
        };
        let window = shop.update(window).await.expect_err("it ends as it starts");
        assert_eq!(window.code(), Code::InvalidArgument);
        assert_eq!(
            shop.numbers("SELECT price_cents FROM products").await,
            [1_999]
        );
        assert!(
            shop.numbers("SELECT delta FROM stock_changes")
                .await
                .is_empty()
        );
    })
    .await;
}
