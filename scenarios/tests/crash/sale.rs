//! The one sale of a crash test: its seed for `migrate`, and the audit of what the buyers were told
//! about it.

use crate::load::Told;
use reports::outcome_log::Writer;
use reports::result::AuditVerdict;
use scenarios::audit::{AuditInput, EngineStock, ExpectedSale, audit, text};
use std::path::PathBuf;
use std::sync::PoisonError;

pub const PRODUCT: i64 = 1;
pub const PRICE_CENTS: i64 = 9_900;

/// The seed file of one sale of `total` units that is always open.
pub fn seed(total: i64) -> String {
    format!(
        "[[sales]]\nproduct_id = {PRODUCT}\nname = \"a thing\"\nprice_cents = {PRICE_CENTS}\ntotal = {total}\n\
         starts_at = 0\nends_at = 4102444800\n"
    )
}

/// Writes what the buyers were told to `log` and audits the database with it; a failed audit fails
/// the test. The sale must have come to rest. `time_to_pay_ms`: `None` where nothing expires.
pub async fn audit_passes(
    database_url: String,
    log: PathBuf,
    told: &Told,
    (total, time_to_pay_ms): (i64, Option<i64>),
    engine_stock: Vec<EngineStock>,
) {
    let mut writer = Writer::create(&log).expect("the scratch folder can be written");
    for record in told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        writer.push(record).expect("written");
    }
    writer.finish().expect("written");
    let report = audit(&AuditInput {
        database_url,
        logs: vec![log],
        sales: vec![ExpectedSale {
            product_id: PRODUCT,
            total,
            price_cents: PRICE_CENTS,
            time_to_pay_ms,
        }],
        engine_stock,
    })
    .await
    .expect("there is something to judge");
    assert_eq!(report.verdict, AuditVerdict::Passed, "{}", text(&report));
}
