//! The transactions: each locks the stock row first, reads the gates it needs, and writes back what
//! has changed.

use super::deciding;
use super::failures::{not_done, unknown};
use super::gate::{self, GateRow, Gates};
use super::stock::Stock;
use crate::helpers::clock::millis;
use crate::helpers::database_server::patient;
use crate::{
    EngineError, Epoch, Finish, Finished, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened,
    Opening, Reserve, Result, SaleId, StockView, Term, Verdict,
};
use database::{Connection, Database, Tx};
use std::time::Duration;

/// The tables.
#[derive(Debug)]
pub struct Sales {
    pub database: Database,
}

/// An open sale whose stock row this transaction has locked. Dropping it undoes everything.
struct Locked {
    tx: Tx<'static>,
    sale: SaleId,
    stock: Stock,
}

impl Locked {
    /// Writes gates and stock in one step, if there is anything to write.
    async fn write(mut self, gates: &Gates) -> Result<()> {
        if !gate::is_changed(gates) {
            return Ok(());
        }
        let mut connection = self.tx.connection();
        gate::write(&mut connection, self.sale, gates).await?;
        let sql = "UPDATE engine_stock SET remaining = ?, open_units = ? WHERE sale_id = ?";
        let args = [self.stock.remaining, self.stock.open_units, self.sale.0];
        connection.run(sql, &args).await.map_err(not_done)?;
        self.tx.commit().await.map_err(unknown)
    }
}

/// The nonce of a sale that was retired. Those of terms are drawn at random from 2⁶⁴ numbers.
const RETIRED: i64 = i64::MIN;

impl Sales {
    fn select_stock(&self) -> String {
        let now_ms = self.database.now_ms();
        format!(
            "SELECT epoch, nonce, remaining, open_units, {now_ms} FROM engine_stock WHERE sale_id = ?"
        )
    }

    async fn locked_row(
        &self,
        connection: &mut Connection<'_>,
        sale: SaleId,
    ) -> Result<Option<Stock>> {
        let for_update = connection.for_update();
        let sql = format!("{}{for_update}", self.select_stock());
        let rows = connection.rows(&sql, &[sale.0]).await.map_err(not_done)?;
        Ok(rows.first().map(Stock::from_row))
    }

    /// Locks the sale; `None`: it is not open under this term.
    async fn lock(&self, term: &Term) -> Result<Option<Locked>> {
        let mut tx = self.database.begin().await.map_err(not_done)?;
        let stock = self.locked_row(&mut tx.connection(), term.sale).await?;
        let stock = stock.filter(|stock| stock.is(term));
        Ok(stock.map(|stock| Locked {
            tx,
            sale: term.sale,
            stock,
        }))
    }

    pub async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Result<Vec<Result<Verdict>>> {
        let Some(mut sale) = self.lock(term).await? else {
            return Ok(batch.iter().map(|_| Ok(Verdict::NotOpen)).collect());
        };
        let users = batch.iter().map(|item| item.user);
        let mut gates = gate::of_users(&mut sale.tx.connection(), term.sale, users).await?;
        let verdicts = batch
            .iter()
            .map(|item| deciding::judge(item, &mut sale.stock, &mut gates))
            .collect();
        sale.write(&gates).await?;
        Ok(verdicts)
    }

    pub async fn finish(&self, term: &Term, batch: &[Finish]) -> Result<Vec<Finished>> {
        let Some(mut sale) = self.lock(term).await? else {
            return Ok(vec![Finished::NotOpen; batch.len()]);
        };
        let users = batch.iter().map(|item| item.user);
        let mut gates = gate::of_users(&mut sale.tx.connection(), term.sale, users).await?;
        let finished = batch
            .iter()
            .map(|item| deciding::finish(item, &mut sale.stock, &mut gates))
            .collect();
        sale.write(&gates).await?;
        Ok(finished)
    }

    /// One transaction: half an opening is no opening.
    pub async fn open(&self, opening: &Opening) -> Result<Opened> {
        let term = &opening.term;
        let database = patient(&self.database);
        let mut tx = database.begin().await.map_err(not_done)?;
        let mut connection = tx.connection();
        let stock = self.locked_row(&mut connection, term.sale).await?;
        if let Some(stock) = stock {
            if stock.is(term) {
                return Ok(Opened::AlreadyOpen);
            }
            if stock.epoch >= i64::from(term.epoch.0) {
                return Ok(Opened::Stale {
                    newest: stock.epoch(),
                });
            }
        }
        // A row that is not there cannot be locked. It is inserted before anything else, so that of
        // two openers one waits for the other, is refused a second row, and begins again.
        let sql = match stock {
            Some(_) => {
                "UPDATE engine_stock SET epoch = ?, nonce = ?, remaining = ?, open_units = 0 WHERE sale_id = ?"
            }
            None => {
                "INSERT INTO engine_stock (epoch, nonce, remaining, open_units, sale_id) VALUES (?, ?, ?, 0, ?)"
            }
        };
        let args = [
            i64::from(term.epoch.0),
            term.nonce.0.cast_signed(),
            opening.granted.cast_signed(),
            term.sale.0,
        ];
        connection.run(sql, &args).await.map_err(not_done)?;
        gate::replace_all(&mut connection, term.sale, &opening.buyers).await?;
        tx.commit().await.map_err(unknown)?;
        Ok(Opened::Opened)
    }

    pub async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let sale = self.lock(term).await?;
        let mut sale = sale.ok_or_else(|| EngineError::not_open(term))?;
        let now_ms = sale.stock.now_ms;
        gate::list(&mut sale.tx.connection(), (term.sale, now_ms), page).await
    }

    pub async fn mark(
        &self,
        term: &Term,
        holds: &[HoldKey],
        age: Duration,
    ) -> Result<Vec<OpenHold>> {
        let sale = self.lock(term).await?;
        let mut sale = sale.ok_or_else(|| EngineError::not_open(term))?;
        let now_ms = sale.stock.now_ms;
        let mut gates = gate::of_open_holds(&mut sale.tx.connection(), term.sale, holds).await?;
        let is_old = |gate: &GateRow| gate.age_ms(now_ms) >= millis(age);
        // The lock is held from the age test to the mark, so no touch can come between:
        // mark-with-age (R8).
        gates
            .values_mut()
            .filter(|gate| !gate.is_marked && is_old(gate))
            .for_each(GateRow::mark);
        sale.write(&gates).await?;
        let marked = gates.values().filter(|gate| gate.is_marked);
        Ok(marked.map(|gate| gate.to_hold(now_ms)).collect())
    }

    /// One step of a retirement, of a bounded number of rows; whether it was the last. The first
    /// shuts the sale by giving its stock row the nonce [`RETIRED`], which stays as the note of it;
    /// where the later ones do not find it, somebody has opened a newer epoch. Several retirements
    /// at a time help each other.
    pub async fn retire_some(
        &self,
        (sale, epoch): (SaleId, Epoch),
        is_first: bool,
    ) -> Result<bool> {
        let mut tx = self.database.begin().await.map_err(not_done)?;
        let mut connection = tx.connection();
        let stock = self.locked_row(&mut connection, sale).await?;
        let is_later = |stock: Stock| stock.epoch > i64::from(epoch.0);
        if stock.is_some_and(is_later) || !is_first && stock.is_none_or(|it| it.nonce != RETIRED) {
            return Ok(true);
        }
        let sql = match stock {
            Some(_) => {
                "UPDATE engine_stock SET epoch = ?, nonce = ?, remaining = 0, open_units = 0 WHERE sale_id = ?"
            }
            None => {
                "INSERT INTO engine_stock (epoch, nonce, remaining, open_units, sale_id) VALUES (?, ?, 0, 0, ?)"
            }
        };
        let args = [i64::from(epoch.0), RETIRED, sale.0];
        connection.run(sql, &args).await.map_err(not_done)?;
        let is_last = gate::delete_some(&mut connection, sale).await?;
        tx.commit().await.map_err(unknown)?;
        Ok(is_last)
    }

    pub async fn view(&self, term: &Term) -> Result<StockView> {
        let rows = self
            .database
            .rows(&self.select_stock(), &[term.sale.0])
            .await
            .map_err(not_done)?;
        let Some(stock) = rows.first().map(Stock::from_row) else {
            return Ok(StockView::default());
        };
        Ok(StockView {
            remaining: stock.remaining,
            open_units: stock.open_units.unsigned_abs(),
            epoch: Some(stock.epoch()),
            is_open: stock.is(term),
            owners: Vec::new(),
            server: String::new(),
            clock_ms: stock.now_ms,
        })
    }
}
