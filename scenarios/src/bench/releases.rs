//! Where the units of cancelled orders stand until the engine has them back.

use crate::tables::Tables;

/// A row for all that one transaction cancelled of a sale.
const OF_MANY: &str = "SELECT product_id, order_count, units, released_at_ms FROM releases";
/// A row for each, as an older version of the system wrote them.
const OF_ONE: &str = "SELECT product_id, 1 AS order_count, quantity AS units, released_at_ms FROM outbox \
                      WHERE kind = 'release'";

/// Queries of what this database has of them, whichever version of the system made it.
pub(super) async fn tables(tables: &mut Tables) -> sqlx::Result<Vec<&'static str>> {
    Ok(match tables.has("releases").await? {
        true => vec![OF_ONE, OF_MANY],
        false => vec![OF_ONE],
    })
}

/// How many orders are left of one of these queries, in sales that an `IN (…)` names.
pub(super) fn left(releases: &str, products: &str) -> String {
    format!(
        "SELECT CAST(COALESCE(SUM(order_count), 0) AS SIGNED) FROM ({releases}) r \
         WHERE released_at_ms IS NULL AND product_id IN ({products})"
    )
}
