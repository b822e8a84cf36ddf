//! The allocation tables: the right to sell `granted` units of a sale in one epoch, and how a dead
//! process's share of it comes back.

use crate::IncarnationId;
use database::Connection;
use database::schema::Migration;

/// The allocation tables. The system brings them, and an engine that keeps leases there does too.
pub const ALLOCATIONS: Migration = Migration {
    version: 2026112602,
    name: "allocations",
    oldest_binary: 0,
    tables: &["allocations"],
    mysql: include_str!("../../sql/allocations.mysql.sql"),
    sqlite: include_str!("../../sql/allocations.sqlite.sql"),
};

/// Closes every lease of a process that is fenced and whose queue is drained: exactly what it has
/// not sold goes back to the pool of its epoch. Belongs into the transaction that stores "drained";
/// doing it again changes nothing.
pub async fn close_leases(
    connection: &mut Connection<'_>,
    owner: IncarnationId,
) -> database::Result<()> {
    let pairs =
        "SELECT p.id, l.id FROM allocations l JOIN allocations p ON p.product_id = l.product_id
                 AND p.epoch = l.epoch AND p.holder = 'pool'
                 WHERE l.owner = ? AND l.state = 'open' ORDER BY p.id";
    let for_update = connection.for_update();
    for [pool, lease] in connection.rows::<[i64; 2]>(pairs, [owner]).await? {
        // Row by row in the order of their ids, as everyone locks them: the pool is older than its
        // leases.
        let lock = format!(
            "SELECT granted - sold FROM allocations WHERE id = ? AND state = 'open'{for_update}"
        );
        let has_pool = !connection.rows::<i64>(&lock, [pool]).await?.is_empty();
        let Some(unsold) = connection.row::<i64>(&lock, [lease]).await? else {
            continue;
        };
        let close =
            "UPDATE allocations SET granted = sold, idle = 0, state = 'closed' WHERE id = ?";
        connection.run(close, [lease]).await?;
        // A pool that is closed belongs to an older epoch: the newer one was granted these units
        // with all others.
        if has_pool {
            connection
                .run(
                    "UPDATE allocations SET granted = granted + ? WHERE id = ?",
                    [unsold, pool],
                )
                .await?;
        }
    }
    Ok(())
}
