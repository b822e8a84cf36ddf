//! `database-row`: stock is one row, the gate one row per buyer, a batch one transaction. What
//! everyone starts with.
//!
//! The stock row is locked first by every call that changes anything, so calls on one sale run one
//! after the other and each sees what the one before has committed. What that costs is the lesson:
//! one sale is as fast as one transaction after the other. The database's durability is the
//! engine's: a server that was killed and comes back with its data goes on where it was, in the
//! same epoch.

mod gate;

use crate::helpers::clock::millis;
use crate::helpers::database_server::{self, may_be_repeated};
use crate::{
    BuildFuture, EngineEnv, EngineError, EngineFactory, EngineInfo, Epoch, Finish, FinishKind,
    Finished, Guarantees, Hold, HoldKey, HoldPage, HoldPageQuery, OpenHold, Opened, Opening,
    Params, Reserve, Result, SaleId, SettingSpec, StockEngine, StockView, Term, Upkeep, Verdict,
};
use database::schema::Migration;
use database::{Connection, Database, Tx};
use gate::{GateRow, Gates};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAME: &str = "database-row";
const TABLES: [&str; 2] = ["engine_stock", "engine_gate"];
/// Longest wait for the database inside a call. What was begun goes on to its end, so the outcome
/// is unknown.
const CALL_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an opening, which loads a row for every buyer.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// How often a transaction is begun that loses against others, or finds a connection that a restart
/// of the server has killed. One more than a pool has connections, so that the last one is fresh.
const ATTEMPTS_MAX: usize = 5;
/// It is not begun again after so long: well within [`CALL_MAX`], so that a caller learns that
/// nothing has happened.
const REPEAT_WITHIN: Duration = Duration::from_secs(2);
/// Incarnations remembered per hold; beyond that the buyer is told "busy", so that none is ever
/// forgotten (R8).
const INCARNATIONS_MAX: usize = 64;
/// Largest grant: what is released on top of it still fits into the column.
const UNITS_MAX: u64 = 1 << 62;

const GUARANTEES: Guarantees = Guarantees {
    keeps_stock: true,
    survives_process_kill: true,
    // Its server loses nothing, so there is nothing to notice: after a crash it rightly goes on
    // selling.
    survives_server_loss: false,
    needs_user_affinity: false,
    needs_one_engine_per_process: false,
    settles_own_holds: false,
};

const MIGRATIONS: &[Migration] = &[Migration {
    version: 2026112608,
    name: "database-row engine",
    oldest_binary: 0,
    tables: &["engine_stock", "engine_gate"],
    mysql: include_str!("../sql/database_row.mysql.sql"),
    sqlite: include_str!("../sql/database_row.sqlite.sql"),
}];

/// How the registry lists and builds it.
pub const FACTORY: EngineFactory = EngineFactory {
    name: NAME,
    about: "one row of stock in the database, locked and updated once per batch; what everyone starts with, the baseline",
    needs: &["database"],
    params: &[],
    settings: &[SettingSpec::DATABASE_URL],
    migrations: MIGRATIONS,
    guarantees: GUARANTEES,
    build,
};

fn build(env: EngineEnv, _params: Params) -> BuildFuture {
    Box::pin(async move {
        let database = database_server::connect(NAME, env.required(NAME, "database.url")?)?;
        Ok(Arc::new(DatabaseRow::new(database)) as Arc<dyn StockEngine>)
    })
}

/// The engine. Every transaction runs in a task of its own to its end, whoever waits for it; see
/// [`within`](database_server::within).
#[derive(Debug)]
struct DatabaseRow {
    runtime: tokio::runtime::Handle,
    sales: Arc<Sales>,
}

/// The tables.
#[derive(Debug)]
struct Sales {
    database: Database,
}

/// The stock row of a sale, and the database's clock.
#[derive(Clone, Copy, Debug)]
struct Stock {
    epoch: i64,
    nonce: i64,
    remaining: i64,
    open_units: i64,
    now_ms: i64,
}

impl Stock {
    fn is(&self, term: &Term) -> bool {
        self.epoch == i64::from(term.epoch.0) && self.nonce == term.nonce.0.cast_signed()
    }

    fn epoch(&self) -> Epoch {
        Epoch(u32::try_from(self.epoch).unwrap_or(u32::MAX))
    }
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
        Ok(rows.first().map(to_stock))
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

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Result<Vec<Result<Verdict>>> {
        let Some(mut sale) = self.lock(term).await? else {
            return Ok(batch.iter().map(|_| Ok(Verdict::NotOpen)).collect());
        };
        let users = batch.iter().map(|item| item.user);
        let mut gates = gate::of_users(&mut sale.tx.connection(), term.sale, users).await?;
        let verdicts = batch
            .iter()
            .map(|item| judge(item, &mut sale.stock, &mut gates))
            .collect();
        sale.write(&gates).await?;
        Ok(verdicts)
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Result<Vec<Finished>> {
        let Some(mut sale) = self.lock(term).await? else {
            return Ok(vec![Finished::NotOpen; batch.len()]);
        };
        let users = batch.iter().map(|item| item.user);
        let mut gates = gate::of_users(&mut sale.tx.connection(), term.sale, users).await?;
        let finished = batch
            .iter()
            .map(|item| finish(item, &mut sale.stock, &mut gates))
            .collect();
        sale.write(&gates).await?;
        Ok(finished)
    }

    /// One transaction: half an opening is no opening.
    async fn open(&self, opening: &Opening) -> Result<Opened> {
        let term = &opening.term;
        let mut tx = self.database.begin().await.map_err(not_done)?;
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

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let sale = self.lock(term).await?;
        let mut sale = sale.ok_or_else(|| EngineError::not_open(term))?;
        let now_ms = sale.stock.now_ms;
        gate::list(&mut sale.tx.connection(), (term.sale, now_ms), page).await
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
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
    /// shuts the sale by giving its stock row the nonce `token`, which no term has; where the later
    /// ones do not find it, somebody has opened a newer epoch.
    async fn retire_some(&self, sale: SaleId, token: i64, is_first: bool) -> Result<bool> {
        let mut tx = self.database.begin().await.map_err(not_done)?;
        let mut connection = tx.connection();
        let stock = self.locked_row(&mut connection, sale).await?;
        if !stock.is_some_and(|stock| is_first || stock.nonce == token) {
            return Ok(true);
        }
        let is_last = gate::delete_some(&mut connection, sale).await?;
        if is_last {
            let sql = "DELETE FROM engine_stock WHERE sale_id = ?";
            connection.run(sql, &[sale.0]).await.map_err(not_done)?;
        } else {
            let sql = "UPDATE engine_stock SET nonce = ?, remaining = 0, open_units = 0 WHERE sale_id = ?";
            let args = [token, sale.0];
            connection.run(sql, &args).await.map_err(not_done)?;
        }
        tx.commit().await.map_err(unknown)?;
        Ok(is_last)
    }

    async fn view(&self, term: &Term) -> Result<StockView> {
        let rows = self
            .database
            .rows(&self.select_stock(), &[term.sale.0])
            .await
            .map_err(not_done)?;
        let Some(stock) = rows.first().map(to_stock) else {
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

fn to_stock([epoch, nonce, remaining, open_units, now_ms]: &[i64; 5]) -> Stock {
    Stock {
        epoch: *epoch,
        nonce: *nonce,
        remaining: *remaining,
        open_units: *open_units,
        now_ms: *now_ms,
    }
}

/// Decides one request on the locked state; what changes is written back with the batch.
fn judge(item: &Reserve, stock: &mut Stock, gates: &mut Gates) -> Result<Verdict> {
    if item.quantity == 0 {
        return Err(EngineError::Config(
            "a reserve of 0 units; at least 1 is needed".to_owned(),
        ));
    }
    // deadline-before-reserve (R7): its caller may have given up.
    if stock.now_ms > item.expires_at_ms {
        return Ok(Verdict::Expired);
    }
    if let Some(gate) = gates.get_mut(&item.user) {
        let hold = Hold {
            order: gate.order,
            quantity: gate.quantity,
            settled: !gate.is_open,
            allocation: None,
        };
        // mark-with-age (R8): a hold that is being voided is not touched any more.
        if gate.is_open && (gate.is_marked || !gate.touch(stock.now_ms, item.incarnation)) {
            return Ok(Verdict::Busy);
        }
        return Ok(Verdict::Duplicate(hold));
    }
    if !item.may_sell {
        return Ok(Verdict::NoOrder);
    }
    let units = i64::from(item.quantity);
    if units > stock.remaining {
        return Ok(Verdict::SoldOut {
            remaining: stock.remaining.unsigned_abs(),
        });
    }
    stock.remaining -= units;
    stock.open_units += units;
    gates.insert(item.user, GateRow::granted(item, stock.now_ms));
    Ok(Verdict::GRANTED)
}

/// Settles or releases one hold on the locked state.
fn finish(item: &Finish, stock: &mut Stock, gates: &mut Gates) -> Finished {
    let gate = gates
        .get_mut(&item.user)
        .filter(|gate| gate.order == item.order && !gate.is_cleared());
    let Some(gate) = gate else {
        return Finished::AlreadyDone;
    };
    let (units, was_open) = (i64::from(gate.quantity), gate.is_open);
    if item.kind == FinishKind::Settle && !was_open {
        return Finished::AlreadyDone;
    }
    if was_open {
        stock.open_units -= units;
    }
    match item.kind {
        FinishKind::Settle => gate.settle(),
        FinishKind::Release => {
            stock.remaining += units;
            gate.clear();
        }
    }
    Finished::Done
}

impl DatabaseRow {
    fn new(database: Database) -> Self {
        Self {
            runtime: tokio::runtime::Handle::current(),
            sales: Arc::new(Sales { database }),
        }
    }

    /// Runs a transaction, again if nothing came of it that others would see.
    async fn run<T, F>(
        &self,
        limit: Duration,
        what: &str,
        call: impl Fn(Arc<Sales>) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let sales = self.sales.clone();
        let attempts = async move {
            let started = Instant::now();
            for _ in 1..ATTEMPTS_MAX {
                match call(sales.clone()).await {
                    Err(error) if may_be_repeated(&error) && started.elapsed() < REPEAT_WITHIN => {}
                    done => return done,
                }
            }
            call(sales).await
        };
        database_server::within(&self.runtime, limit, &format!("{NAME}: {what}"), attempts).await
    }
}

#[async_trait::async_trait]
impl StockEngine for DatabaseRow {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            parameters: Vec::new(),
            guarantees: GUARANTEES,
        }
    }

    async fn open(&self, opening: &Opening) -> Result<Opened> {
        if opening.granted > UNITS_MAX {
            let granted = opening.granted;
            return Err(EngineError::Config(format!(
                "{NAME}: {granted} units; at most {UNITS_MAX} can be granted"
            )));
        }
        let opening = Arc::new(opening.clone());
        let open = move |sales: Arc<Sales>| {
            let opening = opening.clone();
            async move { sales.open(&opening).await }
        };
        self.run(OPEN_MAX, "an opening", open).await
    }

    async fn reserve(&self, term: &Term, batch: &[Reserve]) -> Vec<Result<Verdict>> {
        let (term, items) = (*term, Arc::<[Reserve]>::from(batch));
        let reserve = move |sales: Arc<Sales>| {
            let items = items.clone();
            async move { sales.reserve(&term, &items).await }
        };
        match self.run(CALL_MAX, "a reserve", reserve).await {
            Ok(verdicts) => verdicts,
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn finish(&self, term: &Term, batch: &[Finish]) -> Vec<Result<Finished>> {
        let (term, items) = (*term, Arc::<[Finish]>::from(batch));
        let finish = move |sales: Arc<Sales>| {
            let items = items.clone();
            async move { sales.finish(&term, &items).await }
        };
        match self.run(CALL_MAX, "a finish", finish).await {
            Ok(finished) => finished.into_iter().map(Ok).collect(),
            Err(error) => error.for_each(batch.len()),
        }
    }

    async fn open_holds(&self, term: &Term, page: &HoldPageQuery) -> Result<HoldPage> {
        let (term, page) = (*term, *page);
        let list = move |sales: Arc<Sales>| async move { sales.open_holds(&term, &page).await };
        self.run(CALL_MAX, "a look at the holds", list).await
    }

    async fn mark(&self, term: &Term, holds: &[HoldKey], age: Duration) -> Result<Vec<OpenHold>> {
        let (term, holds) = (*term, Arc::<[HoldKey]>::from(holds));
        let mark = move |sales: Arc<Sales>| {
            let holds = holds.clone();
            async move { sales.mark(&term, &holds, age).await }
        };
        self.run(CALL_MAX, "a mark", mark).await
    }

    async fn stock(&self, term: &Term) -> Result<StockView> {
        let term = *term;
        self.run(CALL_MAX, "a look at the stock", move |sales| async move {
            sales.view(&term).await
        })
        .await
    }
}

#[async_trait::async_trait]
impl Upkeep for DatabaseRow {
    async fn check_server(&self, allow_volatile: bool) -> Result<Vec<(String, String)>> {
        let check = move |sales: Arc<Sales>| async move {
            database_server::check(NAME, &sales.database, &TABLES, allow_volatile).await
        };
        self.run(CALL_MAX, "a look at the server", check).await
    }

    async fn retire(&self, sale: SaleId) -> Result<()> {
        let (token, mut is_first) = (rand::random(), true);
        loop {
            let step = move |sales: Arc<Sales>| async move {
                sales.retire_some(sale, token, is_first).await
            };
            if self.run(CALL_MAX, "a step of a retirement", step).await? {
                return Ok(());
            }
            is_first = false;
        }
    }
}

fn not_done(error: database::Error) -> EngineError {
    database_server::not_done(NAME, error)
}

fn unknown(error: database::Error) -> EngineError {
    database_server::unknown(NAME, error)
}

#[cfg(test)]
mod locking_tests;
#[cfg(test)]
mod tests;
