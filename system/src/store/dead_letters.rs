//! Parked records as operators look at them, replay them and discard them (parked-is-final, R10).

mod records;

pub use records::{DeadLetter, Ending, Fate, OpenDeadLetters, Replayed, WholeDeadLetter};

use super::handle::Store;
use super::orders::{insert_void, status_by_order};
use super::sweeps;
use super::types::{Poison, status};
use super::write::{bulk, try_alone};
use crate::envelope::OrderEvent;
use database::{Arg, Connection, Error, NO_ARGS, Result, fault};
use engines::OrderId;
use records::{COLUMNS, Contents};
use std::collections::HashSet;

/// Records read in one statement.
const PAGE: i64 = 500;
/// Longest stored resolution, characters.
const MAX_RESOLUTION: usize = 500;
/// Attempts at a transaction that another one gets in the way of.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Records in the order in which they came, after this id; those that are resolved if asked for.
    /// A bounded number: none are left when there are none.
    pub async fn dead_letters(&self, after: i64, resolved_too: bool) -> Result<Vec<DeadLetter>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parked WHERE id > ? AND resolved <= ? ORDER BY id LIMIT ?"
        );
        let args = [Arg::from(after), resolved_too.into(), PAGE.into()];
        self.database.rows(&sql, args).await
    }

    /// One record.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<WholeDeadLetter>> {
        let sql = format!("SELECT {COLUMNS}, body FROM parked WHERE id = ?");
        self.database.row(&sql, [id]).await
    }

    /// Whether a whole message is parked, and nobody has decided about it: it may be orders of any sale.
    pub async fn has_parked_messages(&self) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM parked WHERE order_id = ? AND resolved = 0";
        let open: Option<i64> = self.database.row(sql, [Poison::WHOLE_MESSAGE]).await?;
        Ok(open.is_some_and(|open| open > 0))
    }

    /// How many are open, and for how long.
    pub async fn open_dead_letters(&self) -> Result<OpenDeadLetters> {
        let sql = format!(
            "SELECT COUNT(*), {} - MIN(created_at_ms) FROM parked WHERE resolved = 0",
            self.database.now_ms()
        );
        let row: Option<(u64, Option<i64>)> = self.database.row(&sql, NO_ARGS).await?;
        let (open, oldest_age_ms) = row.unwrap_or_default();
        Ok(OpenDeadLetters {
            open,
            oldest_age_ms: oldest_age_ms.unwrap_or(0).max(0),
        })
    }

    /// Writes what is in a record as its consumer would have, and resolves it in the same
    /// transaction if nothing of it is left to be done. Whoever does so a second time, or at the same
    /// time, finds it done. With `copies`, listeners get one of every order that is written. `None`:
    /// there is no such record.
    pub async fn replay(&self, id: i64, copies: bool) -> Result<Option<Replayed>> {
        let mut attempt = 1;
        loop {
            match self.try_replay(id, copies).await {
                Err(error) if attempt < ATTEMPTS && fault::may_be_repeated(&error) => attempt += 1,
                done => return done,
            }
        }
    }

    async fn try_replay(&self, id: i64, copies: bool) -> Result<Option<Replayed>> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let Some(whole) = locked(&mut connection, id).await? else {
            return Ok(None);
        };
        if let Some(ending) = resolved_before(&whole.letter) {
            let orders = Vec::new();
            return Ok(Some(Replayed { orders, ending }));
        }
        let Contents { orders, unreadable } = whole.contents();
        let orders = write_again(&mut connection, orders, copies).await?;
        let written = orders.iter().filter(|(_, fate)| *fate == Fate::Written);
        if let Some(oldest) = written.map(|(order, _)| order.order).min() {
            sweeps::take_back(&mut connection, oldest).await?;
        }
        let ending = match unreadable {
            Some(why) => Ending::Open(why),
            // The record says of this order what its VOID row says; a decision is left to people.
            None if whole.letter.kind == Poison::ORDER
                && orders.iter().any(|(_, fate)| *fate == Fate::Void) =>
            {
                Ending::Open(format!("it was refused: {}", whole.letter.reason))
            }
            None => {
                let resolution = in_words(&orders);
                resolve(&mut connection, id, &resolution).await?;
                Ending::Resolved(resolution)
            }
        };
        tx.commit().await?;
        for (order, fate) in &orders {
            if let Fate::Refused(reason) = fate {
                let (dead_letter, order) = (id, order.order.0);
                tracing::error!(dead_letter, order, %reason, "an order was refused when it was replayed");
            }
        }
        Ok(Some(Replayed { orders, ending }))
    }

    /// Resolves a record without doing anything about it. From here on the holds that it kept are
    /// voided as all others are: behind a marker, and only without a row (void-before-release, R9).
    /// `None`: there is no such record.
    pub async fn discard(&self, id: i64, reason: &str) -> Result<Option<Ending>> {
        let mut tx = self.database.begin().await?;
        let mut connection = tx.connection();
        let Some(whole) = locked(&mut connection, id).await? else {
            return Ok(None);
        };
        if let Some(ending) = resolved_before(&whole.letter) {
            return Ok(Some(ending));
        }
        let resolution = format!("discarded: {reason}");
        resolve(&mut connection, id, &resolution).await?;
        tx.commit().await?;
        Ok(Some(Ending::Resolved(resolution)))
    }
}

/// Of two who resolve one record, the second waits here for the first.
async fn locked(connection: &mut Connection<'_>, id: i64) -> Result<Option<WholeDeadLetter>> {
    let for_update = connection.for_update();
    let sql = format!("SELECT {COLUMNS}, body FROM parked WHERE id = ?{for_update}");
    connection.row(&sql, [id]).await
}

fn resolved_before(letter: &DeadLetter) -> Option<Ending> {
    let at_ms = letter.resolved_at_ms?;
    Some(Ending::WasResolved(at_ms, letter.resolution.clone()))
}

async fn resolve(connection: &mut Connection<'_>, id: i64, resolution: &str) -> Result<()> {
    let resolution: String = resolution.chars().take(MAX_RESOLUTION).collect();
    let sql = format!(
        "UPDATE parked SET resolved = 1, resolved_at_ms = {}, resolution = ? WHERE id = ?",
        connection.kind().now_ms()
    );
    let args = [Arg::from(resolution.as_str()), id.into()];
    match connection.run(&sql, args).await? {
        1 => Ok(()),
        _ => Err(Error::RowNotFound),
    }
}

/// The consumer's ladder: together, and if a key or the guard refuses something, each by itself. An
/// order is counted against the allocation that it was sold from and no other: a closed one refuses
/// it for good (parked-is-final, R10).
async fn write_again(
    connection: &mut Connection<'_>,
    orders: Vec<OrderEvent>,
    copies: bool,
) -> Result<Vec<(OrderEvent, Fate)>> {
    let mut seen = HashSet::with_capacity(orders.len());
    let orders: Vec<_> = orders
        .into_iter()
        .filter(|order| seen.insert(order.order))
        .collect();
    let ids: Vec<OrderId> = orders.iter().map(|order| order.order).collect();
    let known = status_by_order(connection, &ids).await?;
    let (existing, fresh): (Vec<_>, Vec<_>) = orders
        .into_iter()
        .partition(|order| known.contains_key(&order.order));
    let fate_of = |order: &OrderEvent| match known.get(&order.order) {
        Some(&status::VOID) => Fate::Void,
        _ => Fate::HasRow,
    };
    let mut fates: Vec<_> = existing
        .into_iter()
        .map(|order| (order, fate_of(&order)))
        .collect();
    let mut savepoint = connection.savepoint().await?;
    match bulk(&mut savepoint.connection(), &fresh, copies).await {
        Ok(true) => {
            savepoint.commit().await?;
            fates.extend(fresh.into_iter().map(|order| (order, Fate::Written)));
            return Ok(fates);
        }
        Ok(false) => {}
        Err(error) if fault::is_refusal(&error) => {}
        Err(error) => return Err(error),
    }
    savepoint.rollback().await?;
    for order in fresh {
        let fate = match try_alone(connection, &order, copies).await? {
            None => Fate::Written,
            // A row that came meanwhile counts, whoever wrote it.
            Some(reason) => match status_by_order(connection, &[order.order])
                .await?
                .get(&order.order)
            {
                Some(&status::VOID) => Fate::Void,
                Some(_) => Fate::HasRow,
                None => {
                    insert_void(connection, &order).await?;
                    Fate::Refused(reason)
                }
            },
        };
        fates.push((order, fate));
    }
    Ok(fates)
}

/// `replayed: 3 orders written, 1 had its row, 1 refused (order 7: …)`
fn in_words(orders: &[(OrderEvent, Fate)]) -> String {
    if orders.is_empty() {
        return "replayed: there was nothing in it to be written".to_owned();
    }
    let count = |wanted: &Fate| orders.iter().filter(|(_, fate)| fate == wanted).count();
    let mut words: Vec<String> = [
        (count(&Fate::Written), "written"),
        (count(&Fate::HasRow), "had their row"),
        (count(&Fate::Void), "void before"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let refused: Vec<String> = orders
        .iter()
        .filter_map(|(order, fate)| match fate {
            Fate::Refused(reason) => Some(format!("order {}: {reason}", order.order)),
            _ => None,
        })
        .collect();
    if !refused.is_empty() {
        words.push(format!(
            "{} refused ({})",
            refused.len(),
            refused.join("; ")
        ));
    }
    format!("replayed: orders {}", words.join(", "))
}
