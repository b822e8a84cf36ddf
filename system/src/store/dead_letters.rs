//! Parked records as operators look at them, replay them and discard them (parked-is-final, R10).

use super::orders::{insert_void, status_by_order};
use super::parking::MAX_BODY;
use super::write::{bulk, try_alone};
use super::{Poison, Store, status};
use crate::envelope::{self, Envelope, OrderEvent};
use database::{Arg, Connection, Error, FromColumn, FromRow, NO_ARGS, Result, RowRef, fault};
use engines::{IncarnationId, OrderId};
use serde::Serialize;
use std::collections::HashSet;

/// Records read in one statement.
const PAGE: i64 = 500;
/// Longest stored resolution, characters.
const MAX_RESOLUTION: usize = 500;
/// Attempts at a transaction that another one gets in the way of.
const ATTEMPTS: u32 = 5;

/// One parked record without its body.
#[derive(Clone, Debug, Serialize)]
pub struct DeadLetter {
    pub id: i64,
    /// The publisher whose queue it came from.
    pub incarnation: IncarnationId,
    /// 0: the whole message.
    pub order_id: OrderId,
    /// Of the delivery that was seen first.
    pub message_id: String,
    /// The message's type, or one of [`Poison::OWN_KINDS`].
    pub kind: String,
    pub reason: String,
    /// How often it was seen.
    pub count: i64,
    /// Unix ms.
    pub first_seen_at_ms: i64,
    /// Unix ms.
    pub last_seen_at_ms: i64,
    /// What is stored of the body, bytes.
    pub body_bytes: i64,
    /// Unix ms; none while it is open.
    pub resolved_at_ms: Option<i64>,
    /// How it was resolved.
    pub resolution: String,
}

const COLUMNS: &str = "id, incarnation, order_id, message_id, kind, reason, count, created_at_ms,
     CASE WHEN seen_at_ms > created_at_ms THEN seen_at_ms ELSE created_at_ms END, LENGTH(body),
     CASE WHEN resolved = 0 THEN NULL ELSE COALESCE(resolved_at_ms, 0) END, resolution";
const WITHOUT_BODY: usize = 12;

impl FromRow for DeadLetter {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        fn column<T: FromColumn>(row: RowRef<'_>, index: usize) -> Result<T> {
            T::from_column(row, index)
        }
        Ok(Self {
            id: column(row, 0)?,
            incarnation: column(row, 1)?,
            order_id: column(row, 2)?,
            message_id: column(row, 3)?,
            kind: column(row, 4)?,
            reason: column(row, 5)?,
            count: column(row, 6)?,
            first_seen_at_ms: column(row, 7)?,
            last_seen_at_ms: column(row, 8)?,
            body_bytes: column(row, 9)?,
            resolved_at_ms: column(row, 10)?,
            resolution: column(row, 11)?,
        })
    }
}

/// A record with what is stored of its body.
#[derive(Debug)]
pub struct WholeDeadLetter {
    pub letter: DeadLetter,
    pub body: Vec<u8>,
}

impl FromRow for WholeDeadLetter {
    fn from_row(row: RowRef<'_>) -> Result<Self> {
        Ok(Self {
            letter: DeadLetter::from_row(row)?,
            body: Vec::from_column(row, WITHOUT_BODY)?,
        })
    }
}

/// What is in a record, as this binary understands it.
#[derive(Debug, Default)]
pub struct Contents {
    pub orders: Vec<OrderEvent>,
    /// Why there is not more in it.
    pub unreadable: Option<String>,
}

impl WholeDeadLetter {
    /// Decodes it again: this binary may understand what the consumer did not.
    pub fn contents(&self) -> Contents {
        let nothing = |why: String| Contents {
            orders: Vec::new(),
            unreadable: Some(why),
        };
        match self.letter.kind.as_str() {
            Poison::QUEUE_LOST | Poison::QUEUE_SUSPECTED => nothing(
                "it stands for a queue that is gone with whatever was in it: nothing is left to replay; make good for \
                 buyers who were told yes and have no order, then discard it"
                    .to_owned(),
            ),
            Poison::BEYOND => nothing(
                "it counts what came when too many were open, and nothing of that was kept: discard it".to_owned(),
            ),
            _ if self.body.len() >= MAX_BODY => {
                nothing(format!("only the first {MAX_BODY} bytes of it were kept"))
            }
            Poison::ORDER => match envelope::decode_order(&self.body) {
                Ok(order) => Contents {
                    orders: vec![order],
                    unreadable: None,
                },
                Err(why) => nothing(why),
            },
            kind => match envelope::decode(Some(kind).filter(|kind| !kind.is_empty()), &self.body) {
                Ok(Envelope::Orders { valid, invalid, .. }) => Contents {
                    orders: valid,
                    unreadable: invalid.first().map(|first| {
                        let (order, reason) = (first.raw.order_id, &first.reason);
                        format!("{} of its orders are not valid, the first of them order {order}: {reason}", invalid.len())
                    }),
                },
                // drain-in-one-session (R5): a marker proves something to its consumer only.
                Ok(Envelope::Marker { .. }) => Contents::default(),
                Err(why) => nothing(why),
            },
        }
    }
}

/// What a replay did with one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has a row from now on.
    Written,
    /// It had one before, live or cancelled.
    HasRow,
    /// Its VOID row was there before.
    Void,
    /// It was refused, and from now on its VOID row makes that final.
    Refused(String),
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Nothing is left to do; how it was resolved.
    Resolved(String),
    /// It was resolved before: when, unix ms, and how.
    WasResolved(i64, String),
    /// It stays open, because of this.
    Open(String),
}

/// What a replay did.
#[derive(Debug)]
pub struct Replayed {
    pub orders: Vec<(OrderEvent, Fate)>,
    pub ending: Ending,
}

/// Records that nobody has resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OpenDeadLetters {
    pub open: i64,
    /// How long ago the oldest was seen first, by the database's clock; 0 without one.
    pub oldest_age_ms: i64,
}

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

    /// How many are open, and for how long.
    pub async fn open_dead_letters(&self) -> Result<OpenDeadLetters> {
        let sql = format!(
            "SELECT COUNT(*), {} - MIN(created_at_ms) FROM parked WHERE resolved = 0",
            self.database.now_ms()
        );
        let row: Option<(i64, Option<i64>)> = self.database.row(&sql, NO_ARGS).await?;
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
        look_again(&mut connection, &orders).await?;
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

/// Has the expiry of unpaid orders look at those that were written, which are older than what it may
/// have seen. It stores how far it has come on the condition that nobody has changed that, so it is
/// changed in any case: it may be about to pass them by.
async fn look_again(connection: &mut Connection<'_>, orders: &[(OrderEvent, Fate)]) -> Result<()> {
    let written = orders.iter().filter(|(_, fate)| *fate == Fate::Written);
    let Some(first) = written.map(|(order, _)| order.order.0).min() else {
        return Ok(());
    };
    let sql = "UPDATE sweeps SET order_id = CASE WHEN order_id > ? THEN ? ELSE order_id - 1 END WHERE name = 'expiry'";
    connection.run(sql, [first - 1, first - 1]).await.map(drop)
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
