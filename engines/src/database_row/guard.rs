//! How engines with a stock row keep two batches from writing over each other, which is all that
//! tells them apart: a lock, a version, or nothing.

use super::failures::not_done;
use super::stock::Stock;
use crate::{EngineError, Result, SaleId};
use database::{Arg, Connection, Database, FromRow};

/// What stands between reading a sale's rows and writing them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Pessimistic: the stock row is read under a lock, in the transaction that writes it back.
    Lock,
    /// Optimistic: read without a lock, and written only if the row still has the version that was
    /// read. Whoever loses that race begins again.
    Version,
    /// Read without a lock and written whatever the row says by then.
    Nothing,
}

impl Guard {
    /// Writes the row back in the transaction of `connection`.
    pub async fn write(
        self,
        connection: &mut Connection<'_>,
        sale: SaleId,
        stock: &Stock,
    ) -> Result<()> {
        let Stock {
            remaining,
            open_units,
            version,
            ..
        } = *stock;
        let counters = "UPDATE engine_stock SET remaining = ?, open_units = ?, version = version + 1 WHERE sale_id = ?";
        let found = match self {
            Self::Lock => {
                let args = [remaining, open_units, sale.0];
                connection.run(counters, &args).await
            }
            Self::Version => {
                let sql = format!("{counters} AND version = ?");
                let args = [remaining, open_units, sale.0, version];
                connection.run(&sql, &args).await
            }
            // The one counter and no other: what is open is counted from the gates.
            Self::Nothing => {
                let sql = "UPDATE engine_stock SET remaining = ? WHERE sale_id = ?";
                connection.run(sql, &[remaining, sale.0]).await
            }
        };
        match found.map_err(not_done)? {
            0 => Err(lost_race()),
            _ => Ok(()),
        }
    }

    /// For a batch that changes nothing: whether what it was told was true at one moment.
    pub async fn confirm(self, database: &Database, sale: SaleId, stock: &Stock) -> Result<()> {
        if self != Self::Version {
            return Ok(());
        }
        let sql = "SELECT version FROM engine_stock WHERE sale_id = ?";
        let version: Option<i64> = database.row(sql, [sale.0]).await.map_err(not_done)?;
        match version == Some(stock.version) {
            true => Ok(()),
            false => Err(lost_race()),
        }
    }
}

/// Somebody else wrote the row between this batch's read and its write.
#[derive(Debug, thiserror::Error)]
#[error("another batch was faster")]
struct LostRace;

/// What a batch fails with that was too slow.
pub fn lost_race() -> EngineError {
    EngineError::Unavailable {
        context: "the stock row has changed since it was read, and nothing was written".to_owned(),
        source: Some(Box::new(LostRace)),
    }
}

/// Whether nothing has happened because another batch was faster.
pub fn is_lost_race(error: &EngineError) -> bool {
    let EngineError::Unavailable {
        source: Some(source),
        ..
    } = error
    else {
        return false;
    };
    source.is::<LostRace>()
}

/// Where rows are read: in the transaction that has locked the sale, or beside all transactions.
#[derive(Debug)]
pub enum Reader<'a> {
    Within(Connection<'a>),
    Beside(&'a Database),
}

impl Reader<'_> {
    /// Every row.
    pub async fn rows<'q, R: FromRow>(
        &mut self,
        sql: &'q str,
        args: impl IntoIterator<Item: Into<Arg<'q>>>,
    ) -> Result<Vec<R>> {
        match self {
            Self::Within(connection) => connection.rows(sql, args).await,
            Self::Beside(database) => database.rows(sql, args).await,
        }
        .map_err(not_done)
    }
}
