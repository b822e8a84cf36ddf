//! The keys of `redis-watch` and what is in them: plain text, so that `redis-cli` shows it.

use engines::{Epoch, IncarnationId, OpenHold, OpeningBuyer, OrderId, Reserve, StockView, Term, UserId};
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult};
use std::collections::{BTreeMap, HashMap};

/// Keys of one term; the braces keep them in one hash slot.
#[derive(Debug)]
pub struct Keys {
    pub meta: String,
    gate: String,
    holds: String,
}

/// The `meta` hash of the open term, and the server's clock.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    pub remaining: u64,
    pub open_units: u64,
    pub now_ms: i64,
}

/// Who has bought: `order quantity`.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    pub order: i64,
    pub quantity: u32,
}

/// An open hold: `user quantity touched_at_ms marked incarnation…`. A settled order has a gate and none of these.
#[derive(Clone, Debug)]
pub struct Open {
    user: i64,
    quantity: u32,
    touched_at_ms: i64,
    pub marked: bool,
    touched_by: Vec<i64>,
}

/// What a transaction writes; `None` deletes.
#[derive(Debug, Default)]
pub struct Changes {
    gates: BTreeMap<i64, Option<Gate>>,
    holds: BTreeMap<i64, Option<Open>>,
}

impl Keys {
    pub fn new(prefix: &str, term: &Term) -> Self {
        let sale = format!("{{{prefix}watch:{}}}", term.sale);
        let of_term = format!("{sale}:{}:{:016x}", term.epoch, term.nonce.0);
        Self { meta: format!("{sale}:meta"), gate: format!("{of_term}:gate"), holds: format!("{of_term}:holds") }
    }

    /// Those of `users` who have bought.
    pub async fn gates(
        &self,
        connection: &mut MultiplexedConnection,
        users: &[i64],
    ) -> RedisResult<HashMap<i64, Gate>> {
        let texts = read(connection, &self.gate, users).await?;
        Ok(texts.into_iter().filter_map(|(user, text)| Some((user, Gate::parse(&text)?))).collect())
    }

    /// Those of `orders` whose holds are open.
    pub async fn open_holds(
        &self,
        connection: &mut MultiplexedConnection,
        orders: &[i64],
    ) -> RedisResult<HashMap<i64, Open>> {
        let texts = read(connection, &self.holds, orders).await?;
        Ok(texts.into_iter().filter_map(|(order, text)| Some((order, Open::parse(&text)?))).collect())
    }

    /// A page of open holds, and the cursor of the next; 0 at the end.
    pub async fn scan(
        &self,
        connection: &mut MultiplexedConnection,
        cursor: u64,
        limit: u32,
    ) -> RedisResult<(u64, Vec<(i64, Open)>)> {
        let mut command = redis::cmd("HSCAN");
        command.arg(&self.holds).arg(cursor).arg("COUNT").arg(limit);
        let (next, found): (u64, Vec<(i64, String)>) = command.query_async(connection).await?;
        Ok((next, found.into_iter().filter_map(|(order, text)| Some((order, Open::parse(&text)?))).collect()))
    }

    /// Settled buyers of an epoch that is not open yet.
    pub async fn load(&self, connection: &mut MultiplexedConnection, buyers: &[OpeningBuyer]) -> RedisResult<()> {
        let mut command = redis::cmd("HSET");
        command.arg(&self.gate);
        for buyer in buyers {
            let gate = Gate { order: buyer.order.0, quantity: buyer.quantity };
            command.arg(buyer.user.0).arg(gate.text());
        }
        command.query_async(connection).await
    }

    /// Opens the term, in one transaction.
    pub fn begin(&self, term: &Term, granted: u64) -> Pipeline {
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("HSET").arg(&self.meta).arg("epoch").arg(term.epoch.0);
        pipe.arg("nonce").arg(term.nonce.0).arg("remaining").arg(granted).arg("open_units").arg(0).ignore();
        pipe
    }
}

/// Fields of a hash that are there.
async fn read(connection: &mut MultiplexedConnection, key: &str, fields: &[i64]) -> RedisResult<Vec<(i64, String)>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let texts: Vec<Option<String>> = redis::cmd("HMGET").arg(key).arg(fields).query_async(connection).await?;
    Ok(fields.iter().zip(texts).filter_map(|(field, text)| Some((*field, text?))).collect())
}

type MetaRow = (Option<u32>, Option<u64>, Option<u64>, Option<u64>);

impl Meta {
    /// `None`: this term is not the open one.
    pub async fn read(connection: &mut MultiplexedConnection, keys: &Keys, term: &Term) -> RedisResult<Option<Self>> {
        let ((epoch, nonce, remaining, open_units), now_ms) = Self::row(connection, keys).await?;
        let is_open = (epoch, nonce) == (Some(term.epoch.0), Some(term.nonce.0));
        let meta = Self { remaining: remaining.unwrap_or(0), open_units: open_units.unwrap_or(0), now_ms };
        Ok(is_open.then_some(meta))
    }

    /// The newest epoch, and whether it is this term.
    pub async fn newest(
        connection: &mut MultiplexedConnection,
        keys: &Keys,
        term: &Term,
    ) -> RedisResult<Option<(u32, bool)>> {
        let ((epoch, nonce, ..), _) = Self::row(connection, keys).await?;
        Ok(epoch.map(|epoch| (epoch, (epoch, nonce) == (term.epoch.0, Some(term.nonce.0)))))
    }

    pub async fn view(connection: &mut MultiplexedConnection, keys: &Keys, term: &Term) -> RedisResult<StockView> {
        let ((epoch, nonce, remaining, open_units), clock_ms) = Self::row(connection, keys).await?;
        Ok(StockView {
            remaining: remaining.map_or(0, u64::cast_signed),
            open_units: open_units.unwrap_or(0),
            epoch: epoch.map(Epoch),
            is_open: (epoch, nonce) == (Some(term.epoch.0), Some(term.nonce.0)),
            clock_ms,
            ..StockView::default()
        })
    }

    async fn row(connection: &mut MultiplexedConnection, keys: &Keys) -> RedisResult<(MetaRow, i64)> {
        let mut pipe = redis::pipe();
        pipe.cmd("HMGET").arg(&keys.meta).arg(&["epoch", "nonce", "remaining", "open_units"]).cmd("TIME");
        let (row, (seconds, micros)): (MetaRow, (i64, i64)) = pipe.query_async(connection).await?;
        Ok((row, seconds * 1_000 + micros / 1_000))
    }
}

impl Gate {
    fn text(self) -> String {
        format!("{} {}", self.order, self.quantity)
    }

    fn parse(text: &str) -> Option<Self> {
        let (order, quantity) = text.split_once(' ')?;
        Some(Self { order: order.parse().ok()?, quantity: quantity.parse().ok()? })
    }
}

impl Open {
    pub fn granted(item: &Reserve, now_ms: i64) -> Self {
        let touched_by = vec![item.incarnation.0];
        Self { user: item.user.0, quantity: item.quantity, touched_at_ms: now_ms, marked: false, touched_by }
    }

    /// R8: every incarnation that touched it is remembered.
    pub fn touch(&mut self, now_ms: i64, incarnation: i64) {
        self.touched_at_ms = now_ms;
        if !self.touched_by.contains(&incarnation) {
            self.touched_by.push(incarnation);
        }
    }

    pub fn age_ms(&self, now_ms: i64) -> u64 {
        u64::try_from(now_ms - self.touched_at_ms).unwrap_or(0)
    }

    pub fn listed(self, order: i64, now_ms: i64) -> OpenHold {
        OpenHold {
            order: OrderId(order),
            user: UserId(self.user),
            quantity: self.quantity,
            touched_at_ms: self.touched_at_ms,
            age_ms: self.age_ms(now_ms),
            marked: self.marked,
            touched_by: self.touched_by.into_iter().map(IncarnationId).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{} {} {} {}", self.user, self.quantity, self.touched_at_ms, u8::from(self.marked));
        for incarnation in &self.touched_by {
            text.push_str(&format!(" {incarnation}"));
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next();
        let (user, quantity) = (next()?.parse().ok()?, next()?.parse().ok()?);
        let (touched_at_ms, marked) = (next()?.parse().ok()?, next()? == "1");
        let touched_by = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        Some(Self { user, quantity, touched_at_ms, marked, touched_by })
    }
}

impl Changes {
    pub fn gate(&mut self, user: i64, gate: Option<Gate>) {
        self.gates.insert(user, gate);
    }

    pub fn hold(&mut self, order: i64, hold: Option<Open>) {
        self.holds.insert(order, hold);
    }

    /// The write of everything that changed; none if nothing did. `meta` is always among it, so that every other
    /// transaction notices.
    pub fn pipeline(self, keys: &Keys, meta: &Meta) -> Option<Pipeline> {
        if self.gates.is_empty() && self.holds.is_empty() {
            return None;
        }
        let mut pipe = redis::pipe();
        pipe.atomic().cmd("HSET").arg(&keys.meta).arg("remaining").arg(meta.remaining);
        pipe.arg("open_units").arg(meta.open_units).ignore();
        for (user, gate) in &self.gates {
            match gate {
                Some(gate) => pipe.cmd("HSET").arg(&keys.gate).arg(user).arg(gate.text()).ignore(),
                None => pipe.cmd("HDEL").arg(&keys.gate).arg(user).ignore(),
            };
        }
        for (order, hold) in &self.holds {
            match hold {
                Some(hold) => pipe.cmd("HSET").arg(&keys.holds).arg(order).arg(hold.text()).ignore(),
                None => pipe.cmd("HDEL").arg(&keys.holds).arg(order).ignore(),
            };
        }
        Some(pipe)
    }
}
