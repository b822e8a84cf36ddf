//! The batches: each reads the stock row first, then the gates it needs, and writes back what has
//! changed. What happens when two of them do so at once is the [`Guard`]'s affair.

use super::deciding;
use super::failures::{not_done, unknown};
use super::gate::{self, GateRow, Gates};
use super::guard::{Guard, Reader};
use super::stock::Stock;
use crate::helpers::clock::millis;
use crate::helpers::database_server::patient;
use crate::{
    EngineError, Epoch, Finish, Finished, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened,
    Opening, Reserve, Result, SaleId, StockView, Term, Verdict,
};
use database::{Connection, Database, Tx};
use std::time::Duration;

/// The tables, and how batches share them.
#[derive(Debug)]
pub struct Sales {
    pub database: Database,
    pub guard: Guard,
}

/// An open sale as this batch has read it. Dropping it undoes everything.
struct Open<'a> {
    sales: &'a Sales,
    sale: SaleId,
    stock: Stock,
    /// Which has locked the stock row; `None`: nothing is locked.
    tx: Option<Tx<'static>>,
}

impl Open<'_> {
    /// Where the gates are read.
    fn reader(&mut self) -> Reader<'_> {
        match &mut self.tx {
            Some(tx) => Reader::Within(tx.connection()),
            None => Reader::Beside(&self.sales.database),
        }
    }

    /// Writes stock and gates in one step, if there is anything to write.
    async fn write(self, gates: &Gates) -> Result<()> {
        let Sales { database, guard } = self.sales;
        if !gate::is_changed(gates) {
            return guard.confirm(database, self.sale, &self.stock).await;
        }
        let mut tx = match self.tx {
            Some(tx) => tx,
            None => database.begin().await.map_err(not_done)?,
        };
        let mut connection = tx.connection();
        // The stock first: whoever may write it is alone with the gates, and does not meet others
        // half-way through them.
        guard.write(&mut connection, self.sale, &self.stock).await?;
        gate::write(&mut connection, self.sale, gates).await?;
        tx.commit().await.map_err(unknown)
    }
}

/// The nonce of a sale that was retired. Those of terms are drawn at random from 2⁶⁴ numbers.
const RETIRED: i64 = i64::MIN;

impl Sales {
    fn select_stock(&self) -> String {
        let now_ms = self.database.now_ms();
        format!(
            "SELECT epoch, nonce, remaining, open_units, version, {now_ms} FROM engine_stock WHERE sale_id = ?"
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

    /// The row as it is now, without waiting for anybody.
    async fn row(&self, sale: SaleId) -> Result<Option<Stock>> {
        let rows = self.database.rows(&self.select_stock(), &[sale.0]).await;
        Ok(rows.map_err(not_done)?.first().map(Stock::from_row))
    }

    /// Reads the sale; `None`: it is not open under this term.
    async fn read(&self, term: &Term) -> Result<Option<Open<'_>>> {
        let (tx, stock) = match self.guard {
            Guard::Lock => {
                let mut tx = self.database.begin().await.map_err(not_done)?;
                let stock = self.locked_row(&mut tx.connection(), term.sale).await?;
                (Some(tx), stock)
            }
            Guard::Version | Guard::Nothing => (None, self.row(term.sale).await?),
        };
        let stock = stock.filter(|stock| stock.is(term));
        Ok(stock.map(|stock| Open {
            sales: self,
            sale: term.sale,
            stock,
            tx,
        }))
    }

    pub async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Result<Vec<Result<Verdict>>> {
        let Some(mut sale) = self.read(term).await? else {
            return Ok(batch.iter().map(|_| Ok(Verdict::NotOpen)).collect());
        };
        let users = batch.iter().map(|item| item.user);
        let mut gates = gate::of_users(&mut sale.reader(), term.sale, users).await?;
        let verdicts = batch
            .iter()
            .map(|item| deciding::judge(item, &mut sale.stock, &mut gates))
            .collect();
        sale.write(&gates).await?;
        Ok(verdicts)
    }

    pub async fn finish(&self, term: &Term, batch: &[Finish]) -> Result<Vec<Finished>> {
        let Some(mut sale) = self.read(term).await? else {
            return Ok(vec![Finished::NotOpen; batch.len()]);
        };
        let users = batch.iter().map(|item| item.user);
        let mut gates = gate::of_users(&mut sale.reader(), term.sale, users).await?;
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
                "UPDATE engine_stock SET epoch = ?, nonce = ?, remaining = ?, open_units = 0, version = version + 1 WHERE sale_id = ?"
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
        let sale = self.read(term).await?;
        let mut sale = sale.ok_or_else(|| EngineError::not_open(term))?;
        let now_ms = sale.stock.now_ms;
        let page = gate::list(&mut sale.reader(), (term.sale, now_ms), page).await?;
        let is_locked = sale.tx.is_some();
        // Without a lock the next epoch may have come in between.
        match is_locked || self.row(term.sale).await?.is_some_and(|it| it.is(term)) {
            true => Ok(page),
            false => Err(EngineError::not_open(term)),
        }
    }

    pub async fn mark(
        &self,
        term: &Term,
        holds: &[HoldKey],
        age: Duration,
    ) -> Result<Vec<OpenHold>> {
        let sale = self.read(term).await?;
        let mut sale = sale.ok_or_else(|| EngineError::not_open(term))?;
        let now_ms = sale.stock.now_ms;
        let mut gates = gate::of_open_holds(&mut sale.reader(), term.sale, holds).await?;
        let is_old = |gate: &GateRow| gate.age_ms(now_ms) >= millis(age);
        // The lock is held from the age test to the mark, or the version is the same, so no touch
        // can come between: mark-with-age (R8).
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
                "UPDATE engine_stock SET epoch = ?, nonce = ?, remaining = 0, open_units = 0, version = version + 1 WHERE sale_id = ?"
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
        let Some(stock) = self.row(term.sale).await? else {
            return Ok(StockView::default());
        };
        let open_units = match self.guard {
            Guard::Lock | Guard::Version => stock.open_units,
            Guard::Nothing => {
                let mut reader = Reader::Beside(&self.database);
                gate::open_units(&mut reader, term.sale).await?
            }
        };
        Ok(StockView {
            remaining: stock.remaining,
            open_units: open_units.unsigned_abs(),
            epoch: Some(stock.epoch()),
            is_open: stock.is(term),
            owners: Vec::new(),
            server: String::new(),
            clock_ms: stock.now_ms,
        })
    }
}
