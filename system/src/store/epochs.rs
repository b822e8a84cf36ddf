//! The rows that an epoch begins and ends with.

use super::handle::Store;
use super::stock_changes;
use super::types::Snapshot;
use database::{Arg, Connection, Error, Result};
use engines::{AllocationId, Epoch, OpeningBuyer, OrderId, SaleId, Term, UserId};

impl Store {
    /// Takes the next epoch number; from here on nobody learns the old term any more. `None`:
    /// another was faster.
    pub async fn claim_epoch(&self, sale: SaleId) -> Result<Option<Epoch>> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let newest = "SELECT newest_epoch FROM sales WHERE product_id = ?";
        let newest: Epoch = connection
            .row(newest, [sale])
            .await?
            .ok_or(Error::RowNotFound)?;
        let next = Epoch(newest.0 + 1);
        let claim = "UPDATE sales SET newest_epoch = ?, ended = 0 WHERE product_id = ? AND newest_epoch = ?";
        let args = [Arg::from(next), sale.into(), newest.into()];
        let claimed = connection.run(claim, args).await?;
        tx.commit().await?;
        Ok((claimed == 1).then_some(next))
    }

    /// grant-under-lock (R11), gate-from-rows (R19): closes every allocation of the sale and grants
    /// what no live row has taken, in one transaction with the snapshot of live buyers. A total that
    /// is wanted is the sale's from here on (units-in-one-place, R16). `None`: a newer epoch was
    /// claimed meanwhile.
    pub async fn grant(&self, sale: SaleId, epoch: Epoch) -> Result<Option<Snapshot>> {
        let mut tx = self.long.begin().await?;
        let mut connection = tx.connection();
        lock_allocations(&mut connection, sale).await?;
        let newest = format!(
            "SELECT total, wanted_total FROM sales WHERE product_id = ? AND newest_epoch = ?{}",
            connection.for_update()
        );
        let args = [Arg::from(sale), epoch.into()];
        let Some((total, wanted)) = connection.row::<(i64, Option<i64>)>(&newest, args).await?
        else {
            return Ok(None);
        };
        let buyers = live_buyers(&mut connection, sale).await?;
        let taken: i64 = buyers.iter().map(|buyer| i64::from(buyer.quantity)).sum();
        let total = match wanted {
            Some(wanted) => stock_changes::apply(&mut connection, sale, wanted, taken).await?,
            None => total,
        };
        let Ok(granted) = u64::try_from(total - taken) else {
            let why = format!(
                "live orders of sale {sale} hold {taken} units, more than its total of {total}"
            );
            return Err(Error::Protocol(why));
        };
        let close = "UPDATE allocations SET granted = sold, idle = 0, state = 'closed' WHERE product_id = ? AND state = 'open'";
        connection.run(close, [sale]).await?;
        let insert = "INSERT INTO allocations (product_id, epoch, granted) VALUES (?, ?, ?)";
        let args = [Arg::from(sale), epoch.into(), granted.into()];
        let allocation_id = AllocationId(connection.insert(insert, args).await?);
        tx.commit().await?;
        Ok(Some(Snapshot {
            allocation_id,
            granted,
            buyers,
        }))
    }

    /// open-by-condition (R14): opens the term if its epoch is still the newest; `false` if it is
    /// not.
    pub async fn open_term(&self, term: &Term, allocation: AllocationId) -> Result<bool> {
        let sql = "UPDATE sales SET open_epoch = ?, nonce = ?, allocation_id = ? WHERE product_id = ? AND newest_epoch = ?";
        let args = [
            Arg::from(term.epoch),
            term.nonce.into(),
            allocation.into(),
            term.sale.into(),
            term.epoch.into(),
        ];
        Ok(self.database.run(sql, args).await? == 1)
    }
}

/// grant-under-lock (R11): no consumer counts against the sale's allocations until this transaction
/// is over. In the order of their ids, as transfers between pool and leases lock them, so that
/// nobody waits in a circle. Who adds a lease locks the pool, which is the first, so there are no
/// more of them once it is locked.
async fn lock_allocations(connection: &mut Connection<'_>, sale: SaleId) -> Result<()> {
    let Some(pool) = open_allocations(connection, sale).await?.first().copied() else {
        return Ok(());
    };
    lock(connection, pool).await?;
    for id in open_allocations(connection, sale).await? {
        lock(connection, id).await?;
    }
    Ok(())
}

async fn open_allocations(
    connection: &mut Connection<'_>,
    sale: SaleId,
) -> Result<Vec<AllocationId>> {
    let ids = "SELECT id FROM allocations WHERE product_id = ? AND state = 'open' ORDER BY id";
    connection.rows(ids, [sale]).await
}

async fn lock(connection: &mut Connection<'_>, allocation: AllocationId) -> Result<()> {
    let for_update = connection.for_update();
    let lock = format!("SELECT id FROM allocations WHERE id = ?{for_update}");
    connection.row::<AllocationId>(&lock, [allocation]).await?;
    Ok(())
}

/// gate-from-rows (R19): every row that blocks a purchase, paid ones too, by a current (locking)
/// read.
async fn live_buyers(connection: &mut Connection<'_>, sale: SaleId) -> Result<Vec<OpeningBuyer>> {
    let for_share = connection.kind().for_share();
    let sql = format!(
        "SELECT user_id, order_id, quantity FROM orders WHERE product_id = ? AND live = 1{for_share}"
    );
    let rows: Vec<(UserId, OrderId, u32)> = connection.rows(&sql, [sale]).await?;
    let buyers = rows
        .into_iter()
        .map(|(user, order, quantity)| OpeningBuyer {
            user,
            order,
            quantity,
        });
    Ok(buyers.collect())
}
