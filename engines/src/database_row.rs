//! `database-row`: stock is one row, the gate one row per buyer, a batch one transaction. What everyone starts with.
//!
//! The stock row is locked first by every call that changes anything, so calls on one sale run one after the other
//! and each sees what the one before has committed. The server's durability is the engine's.

mod gate;

use crate::registry::{BuildFuture, EngineFactory};
use crate::{
    EngineEnv, EngineError, EngineInfo, Epoch, Finish, FinishKind, Finished, Guarantees, Hold, HoldPage, HoldQuery,
    Maintain, Maintained, Opened, Opening, Params, Reserve, Result, StockEngine, StockView, Term, Verdict,
};
use gate::GateRow;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{MySql, MySqlPool, Row, Transaction};
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// MySQL/MariaDB statements, separated by `;`, that create this engine's tables.
pub const TABLES_MYSQL: &str = include_str!("../sql/database_row.mysql.sql");

const NAME: &str = "database-row";
/// Connections of one engine object. Calls on one sale wait for its row anyway.
const MAX_CONNECTIONS: u32 = 4;
/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// Incarnations remembered per hold; beyond that the buyer is told "busy", so that none is ever forgotten (R8).
const INCARNATIONS_MAX: usize = 64;
/// Page size bounds of [`HoldQuery::List`].
const PAGE_MAX: u32 = 10_000;
/// The server's clock, unix ms.
const NOW_MS: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true,
    survives_server_loss: false,
    needs_user_affinity: false,
};

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one row of stock in the database, locked and updated once per batch; what everyone starts with, the baseline",
    needs: &["database"],
    params: &[],
    guarantees: GUARANTEES,
    build,
};

fn build(env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let url = env.database_url.ok_or_else(|| EngineError::Config(format!("engine {NAME} needs a database url")))?;
        let options = MySqlConnectOptions::from_str(&url)
            .map_err(|error| EngineError::Config(format!("engine {NAME}: the database url is malformed: {error}")))?;
        let pool = MySqlPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // Read committed: a locking read sees the newest rows and locks no gaps between buyers.
                    sqlx::query("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").execute(connection).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Ok(Arc::new(DatabaseRow { pool }) as Arc<dyn StockEngine>)
    })
}

#[derive(Debug)]
struct DatabaseRow {
    pool: MySqlPool,
}

/// The locked stock row of a sale, and the server's clock.
#[derive(Clone, Copy, Debug)]
struct Stock {
    epoch: u32,
    nonce: u64,
    remaining: u64,
    open_units: u64,
    now_ms: i64,
}

impl Stock {
    fn is(&self, term: &Term) -> bool {
        self.epoch == term.epoch.0 && self.nonce == term.nonce.0
    }
}

type Tx<'a> = Transaction<'a, MySql>;

async fn lock(tx: &mut Tx<'_>, term: &Term) -> Result<Option<Stock>> {
    read_stock(&mut **tx, term, " FOR UPDATE").await
}

async fn read_stock(executor: impl sqlx::MySqlExecutor<'_>, term: &Term, lock: &str) -> Result<Option<Stock>> {
    let sql = format!("SELECT epoch, nonce, remaining, open_units, {NOW_MS} FROM engine_stock WHERE sale_id = ?{lock}");
    let row = sqlx::query(&sql).bind(term.sale.0).fetch_optional(executor).await.map_err(not_done)?;
    let read = |row: sqlx::mysql::MySqlRow| {
        Ok(Stock {
            epoch: row.try_get(0)?,
            nonce: row.try_get(1)?,
            remaining: row.try_get::<i64, _>(2)?.unsigned_abs(),
            open_units: row.try_get::<i64, _>(3)?.unsigned_abs(),
            now_ms: row.try_get(4)?,
        })
    };
    row.map(read).transpose().map_err(not_done)
}

async fn store(tx: &mut Tx<'_>, term: &Term, stock: &Stock) -> Result<()> {
    sqlx::query("UPDATE engine_stock SET remaining = ?, open_units = ? WHERE sale_id = ?")
        .bind(stock.remaining)
        .bind(stock.open_units)
        .bind(term.sale.0)
        .execute(&mut **tx)
        .await
        .map_err(not_done)?;
    Ok(())
}

impl DatabaseRow {
    async fn begin(&self) -> Result<Tx<'_>> {
        self.pool.begin().await.map_err(not_done)
    }

    async fn try_reserve(&self, term: &Term, batch: &[Reserve]) -> Result<Vec<Result<Verdict>>> {
        let mut tx = self.begin().await?;
        let Some(mut stock) = lock(&mut tx, term).await?.filter(|stock| stock.is(term)) else {
            return Ok(batch.iter().map(|_| Ok(Verdict::NotOpen)).collect());
        };
        let users: Vec<i64> = batch.iter().map(|item| item.user.0).collect();
        let mut gates = gate::read_users(&mut tx, term, &users).await?;
        let verdicts: Vec<_> = batch.iter().map(|item| judge(item, &mut stock, &mut gates)).collect();
        gate::write(&mut tx, term, &gates).await?;
        store(&mut tx, term, &stock).await?;
        tx.commit().await.map_err(unknown)?;
        Ok(verdicts)
    }

    async fn try_finish(&self, term: &Term, batch: &[Finish]) -> Result<Vec<Finished>> {
        let mut tx = self.begin().await?;
        let Some(mut stock) = lock(&mut tx, term).await?.filter(|stock| stock.is(term)) else {
            return Ok(vec![Finished::NotOpen; batch.len()]);
        };
        let users: Vec<i64> = batch.iter().map(|item| item.user.0).collect();
        let mut gates = gate::read_users(&mut tx, term, &users).await?;
        let finished: Vec<_> = batch.iter().map(|item| finish(item, &mut stock, &mut gates)).collect();
        gate::write(&mut tx, term, &gates).await?;
        store(&mut tx, term, &stock).await?;
        tx.commit().await.map_err(unknown)?;
        Ok(finished)
    }
}

/// Decides one request on the locked state; what changes is written back with the batch.
fn judge(item: &Reserve, stock: &mut Stock, gates: &mut HashMap<i64, GateRow>) -> Result<Verdict> {
    if item.quantity == 0 {
        return Err(EngineError::Config("a reserve of 0 units; at least 1 is needed".to_owned()));
    }
    if stock.now_ms > item.expires_at_ms {
        return Ok(Verdict::Expired); // R7: its caller may have given up.
    }
    if let Some(gate) = gates.get_mut(&item.user.0).filter(|gate| !gate.is_cleared()) {
        let hold = Hold { order: gate.order, quantity: gate.quantity, settled: !gate.is_open, allocation: None };
        if gate.is_open && (gate.is_marked || !gate.touch(stock.now_ms, item.incarnation, INCARNATIONS_MAX)) {
            return Ok(Verdict::Busy);
        }
        return Ok(Verdict::Duplicate(hold));
    }
    if u64::from(item.quantity) > stock.remaining {
        return Ok(Verdict::SoldOut { remaining: stock.remaining });
    }
    stock.remaining -= u64::from(item.quantity);
    stock.open_units += u64::from(item.quantity);
    let known = gates.remove(&item.user.0);
    gates.insert(item.user.0, GateRow::granted(item, stock.now_ms, known));
    Ok(Verdict::GRANTED)
}

/// Settles or releases one hold on the locked state.
fn finish(item: &Finish, stock: &mut Stock, gates: &mut HashMap<i64, GateRow>) -> Finished {
    let gate = gates.get_mut(&item.user.0).filter(|gate| !gate.is_cleared() && gate.order == item.order);
    let Some(gate) = gate else { return Finished::AlreadyDone };
    let was_open = gate.is_open;
    if item.kind == FinishKind::Settle && !was_open {
        return Finished::AlreadyDone;
    }
    if was_open {
        stock.open_units = stock.open_units.saturating_sub(u64::from(gate.quantity));
    }
    match item.kind {
        FinishKind::Settle => gate.settle(),
        FinishKind::Release => {
            stock.remaining += u64::from(gate.quantity);
            gate.clear();
        }
    }
    Finished::Done
}

#[async_trait::async_trait]
impl StockEngine for DatabaseRow {
    fn info(&self) -> EngineInfo {
        EngineInfo { name: NAME.to_owned(), parameters: Vec::new(), guarantees: GUARANTEES }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let term = &opening.term;
        let mut tx = self.begin().await?;
        if let Some(stock) = lock(&mut tx, term).await? {
            if stock.is(term) {
                return Ok(Opened::AlreadyOpen);
            }
            if stock.epoch >= term.epoch.0 {
                return Ok(Opened::Stale { newest: Epoch(stock.epoch) });
            }
        }
        // One transaction: half an opening is no opening.
        gate::replace_all(&mut tx, term, &opening.buyers).await?;
        sqlx::query("REPLACE INTO engine_stock (sale_id, epoch, nonce, remaining) VALUES (?, ?, ?, ?)")
            .bind(term.sale.0)
            .bind(term.epoch.0)
            .bind(term.nonce.0)
            .bind(opening.granted)
            .execute(&mut *tx)
            .await
            .map_err(not_done)?;
        tx.commit().await.map_err(unknown)?;
        Ok(Opened::Opened)
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        match self.try_reserve(term, batch).await {
            Ok(verdicts) => verdicts,
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        match self.try_finish(term, batch).await {
            Ok(finished) => finished.into_iter().map(Ok).collect(),
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn holds(&self, term: &Term, query: &HoldQuery) -> Result<HoldPage> {
        let mut tx = self.begin().await?;
        let stock = lock(&mut tx, term).await?.filter(|stock| stock.is(term));
        let stock = stock.ok_or_else(|| EngineError::Unavailable {
            context: format!("holds of sale {}: epoch {} is not open", term.sale, term.epoch),
            source: None,
        })?;
        match query {
            HoldQuery::List { untouched_for_ms, cursor, limit } => {
                gate::list(&mut tx, term, stock.now_ms, *untouched_for_ms, *cursor, (*limit).clamp(1, PAGE_MAX)).await
            }
            HoldQuery::Mark { untouched_for_ms, orders } => {
                let page = gate::mark(&mut tx, term, stock.now_ms, *untouched_for_ms, orders).await?;
                tx.commit().await.map_err(unknown)?;
                Ok(page)
            }
        }
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let stock = read_stock(&self.pool, term, "").await?;
        let Some(stock) = stock else { return Ok(StockView::default()) };
        Ok(StockView {
            remaining: i64::try_from(stock.remaining).unwrap_or(i64::MAX),
            open_units: stock.open_units,
            epoch: Some(Epoch(stock.epoch)),
            is_open: stock.is(term),
            owners: Vec::new(),
            server: String::new(),
            clock_ms: stock.now_ms,
        })
    }

    async fn maintain(&self, task: &Maintain) -> Result<Maintained> {
        let Maintain::CheckServer { allow_volatile } = task else { return Ok(Maintained::default()) };
        let row = sqlx::query("SELECT VERSION(), CAST(@@innodb_flush_log_at_trx_commit AS SIGNED)")
            .fetch_one(&self.pool)
            .await
            .map_err(not_done)?;
        let (version, flush): (String, i64) = (row.try_get(0).map_err(not_done)?, row.try_get(1).map_err(not_done)?);
        if flush != 1 && !allow_volatile {
            return Err(EngineError::Config(format!(
                "{NAME}: innodb_flush_log_at_trx_commit is {flush}; only 1 survives a crash of the server"
            )));
        }
        let settings = vec![
            ("database.version".to_owned(), version),
            ("database.innodb_flush_log_at_trx_commit".to_owned(), flush.to_string()),
        ];
        Ok(Maintained { actions: 0, settings })
    }
}

/// Before the commit was sent: nothing has happened.
fn not_done(error: sqlx::Error) -> EngineError {
    EngineError::Unavailable { context: format!("{NAME}: {error}"), source: Some(Box::new(error)) }
}

/// The commit was sent.
fn unknown(error: sqlx::Error) -> EngineError {
    EngineError::Unknown { context: format!("{NAME}: commit: {error}"), source: Some(Box::new(error)) }
}
