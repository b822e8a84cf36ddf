//! What a running system tells operators: a process that runs every role on a SQLite file and a
//! Redis of its own.

mod collector;
mod shop;
mod traces;

use http::StatusCode;
use serde_json::Value;
use shop::{PATIENCE, PRODUCT, STOCK, Shop, call};
use std::collections::BTreeSet;
use std::time::Duration;
use system::proto::inspect::{GetStockRequest, GetStockResponse};
use system::proto::seckill::SeckillResponse;

const DOCS: &str = include_str!("../../../docs/observability.md");

/// The metrics that the page lists, with their types.
fn listed() -> BTreeSet<(String, String)> {
    let rows = DOCS.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`');
        let kind = cells.next()?.split(',').next()?;
        let is_metric = ["gauge", "counter", "histogram"].contains(&kind);
        is_metric.then(|| (name.to_owned(), kind.to_owned()))
    });
    rows.collect()
}

/// Those that a scrape has.
fn scraped(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    });
    types.collect()
}

fn accepted(told: Result<SeckillResponse, String>) -> bool {
    told.is_ok_and(|reply| reply.success)
}

#[tokio::test]
async fn what_is_documented_is_in_a_running_system_and_the_other_way_round() {
    let Some(shop) = Shop::open(&[]).await else {
        return;
    };
    let (status, text) = shop.page("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let (listed, scraped) = (listed(), scraped(&text));
    assert!(listed.len() > 40, "{listed:?}");
    let unlisted: Vec<_> = scraped.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not on the page: {unlisted:?}");
    let missing: Vec<_> = listed.difference(&scraped).collect();
    assert!(missing.is_empty(), "not in the system: {missing:?}");
}

#[tokio::test]
async fn three_yes_one_repeated_and_one_no_are_counted_as_such() {
    let Some(shop) = Shop::open(&[]).await else {
        return;
    };
    // One unit each: the stock is sold.
    for user in 1..=STOCK {
        shop.sells_to(user).await;
    }
    assert!(accepted(shop.buy(1).await), "they have an order");
    let refused = shop.buy(STOCK + 1).await.expect("an answer");
    assert!(!refused.success, "{refused:?}");
    let invalid = shop.buy(-1).await.expect_err("refused");
    assert!(invalid.starts_with("InvalidArgument"), "{invalid}");
    shop.until(&format!("seckill_accepted_total{{kind=\"new\"}} {STOCK}"))
        .await;
    for line in [
        "seckill_accepted_total{kind=\"repeated\"} 1".to_owned(),
        "seckill_refused_total{reason=\"sold_out\"} 1".to_owned(),
        "seckill_refused_total{reason=\"invalid\"} 1".to_owned(),
        "seckill_refused_total{reason=\"ended\"} 0".to_owned(),
        "seckill_unknown_total 0".to_owned(),
        "seckill_request_duration_seconds_count{outcome=\"refused\"} 1".to_owned(),
        // Behind them: rows, settled holds, and the sale as engine and database have it.
        format!("seckill_rows_written_total{{kind=\"live\"}} {STOCK}"),
        format!("seckill_order_row_delay_seconds_count {STOCK}"),
        format!("seckill_stock_remaining_units{{sale=\"{PRODUCT}\"}} 0.0"),
        format!("seckill_open_hold_units{{sale=\"{PRODUCT}\"}} 0.0"),
        "seckill_settles_pending 0.0".to_owned(),
        "seckill_queue_messages 0.0".to_owned(),
        "seckill_sales{state=\"open\"} 1".to_owned(),
        "seckill_incarnations{state=\"live\"} 1".to_owned(),
        "seckill_epochs_opened_total{reason=\"first\"} 1".to_owned(),
        "seckill_epochs_opened_total{reason=\"again\"} 0".to_owned(),
        "seckill_parked_messages 0.0".to_owned(),
        "seckill_ready 1".to_owned(),
    ] {
        shop.until(&line).await;
    }
    let (_, text) = shop.page("/metrics").await;
    let batches = shop::number(&text, "seckill_batch_requests_sum");
    assert!(batches >= STOCK as f64 + 1.0, "{batches}");
    assert!(shop::number(&text, "seckill_lease_remaining_seconds") > 0.0);
    assert!(shop::number(&text, "process_resident_memory_bytes") > 1e6);
}

#[tokio::test]
async fn the_pages_and_grpc_share_one_port_and_the_pages_tell_no_secret() {
    let Some(shop) = Shop::open(&[("SECKILL__JWT__SECRET", shop::SECRET)]).await else {
        return;
    };
    let (status, text) = shop.page("/healthz").await;
    assert_eq!((status, &*text), (StatusCode::OK, "ok\n"));
    let (status, text) = shop.page("/readyz").await;
    assert_eq!((status, &*text), (StatusCode::OK, "ok\n"));
    let (_, text) = shop.page("/build").await;
    let build: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(build["version"], env!("CARGO_PKG_VERSION"));
    let (_, text) = shop.page("/config").await;
    let config: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["seckill"]["engine"], "lua-single-key");
    assert_eq!(config["jwt"]["secret"], "***");
    assert!(!text.contains(shop::SECRET));
    let (status, text) = shop.page("/metric").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(
        text.contains("there is /metrics, /healthz, /readyz"),
        "{text}"
    );

    let request = GetStockRequest {
        product_id: PRODUCT,
    };
    let method = "/inspect.InspectService/GetStock";
    let stock: GetStockResponse = call(shop.admin(), method, request)
        .await
        .expect("an answer");
    assert!(stock.open, "{stock:?}");
}

#[tokio::test]
async fn without_the_engines_server_it_lives_and_says_why_it_is_not_ready() {
    let Some(mut shop) = Shop::open(&[]).await else {
        return;
    };
    shop.lose_redis().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let reasons = loop {
        let (status, text) = shop.page("/readyz").await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            break text;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status} {text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for line in reasons.lines() {
        let reason: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(reason["role"], "seckill", "{reasons}");
        assert!(reason["reason"].is_string(), "{reasons}");
    }
    let (status, _) = shop.page("/healthz").await;
    assert_eq!(status, StatusCode::OK);
    shop.until("seckill_ready 0").await;
}
