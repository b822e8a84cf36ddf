//! How a sale is opened over many slots: the script is loaded into every node, then the epoch begun
//! in every slot, then buyers and units loaded everywhere, and only then opened, slot by slot.
//!
//! It may end after any step. No process sells before it has seen every slot open, so what a
//! half-finished opening leaves sells nothing; it is not taken up again, lost-server-noticed (R13),
//! and the next epoch replaces it slot by slot.

use super::ShardedSlots;
use super::answers::{NAME, bytes, number, packed, protocol, read_u64};
use super::link::Answer;
use super::slots::{Slot, Slots};
use crate::helpers::key_set::{self, RECORDS_PER_CALL_MAX};
use crate::helpers::{records, redis_server};
use crate::{EngineError, Epoch, Opened, Opening, OpeningBuyer, Result, Term};
use fred::types::Value;
use futures_util::{TryStreamExt, future::try_join_all, stream};
use std::collections::HashSet;

/// Slots that are filled in parallel; with more of them the last calls could wait longer than an
/// answer may take.
const FILLS_MAX: usize = 32;
impl ShardedSlots {
    pub(super) async fn open_in_phases(&self, opening: &Opening) -> Result<Opened> {
        key_set::check_units(NAME, opening)?;
        let (term, slots) = (&opening.term, self.slots(&opening.term));
        if slots.states_of_all(&self.link).await?.is_some() {
            return Ok(Opened::AlreadyOpen);
        }
        let loader = key_set::new_loader();
        if let Some(newest) = self.begin(term, &slots, &loader).await? {
            return Ok(Opened::Stale { newest });
        }
        let mut homes: Vec<Vec<OpeningBuyer>> = vec![Vec::new(); self.slots];
        for buyer in &opening.buyers {
            homes[slots.home(buyer.user)].push(*buyer);
        }
        let share = |slot: usize| {
            let (each, rest) = (
                opening.granted / self.slots as u64,
                opening.granted % self.slots as u64,
            );
            each + u64::from((slot as u64) < rest)
        };
        let fills = stream::iter(homes.iter().enumerate().map(Ok));
        fills
            .try_for_each_concurrent(FILLS_MAX, |(slot, buyers)| {
                self.fill(&slots, slot, &loader, buyers, share(slot))
            })
            .await?;
        let open = (0..self.slots)
            .map(|slot| self.step(&slots, slot, "opening a slot", &loader, "open", []));
        try_join_all(open).await?;
        Ok(Opened::Opened)
    }

    /// Begins the epoch in every slot, also in those that only an older epoch had, once the script
    /// is in every node; an epoch in the way, if there is one.
    pub(super) async fn begin(
        &self,
        term: &Term,
        slots: &Slots,
        loader: &str,
    ) -> Result<Option<Epoch>> {
        let metas = slots
            .slots
            .iter()
            .map(|slot| self.read_meta(slot, &["epoch", "slots"]));
        let metas = try_join_all(metas).await?;
        let newest = metas.iter().filter_map(|meta| read_u64(&meta[0])).max();
        if let Some(newest) = newest.filter(|newest| *newest >= u64::from(term.epoch.0)) {
            return epoch(newest).map(Some);
        }
        let lives = self.load_script().await?;
        let before = metas
            .iter()
            .filter_map(|meta| read_u64(&meta[1]))
            .max()
            .unwrap_or(0) as usize;
        let retired: Vec<Slot> = (self.slots..before)
            .map(|index| Slot::new(&self.prefix, term, index))
            .collect();
        let begun = slots
            .slots
            .iter()
            .map(|slot| (slot, "loading"))
            .chain(retired.iter().map(|slot| (slot, "retired")));
        let begun = begun.map(|(slot, state)| self.begin_slot(slots, slot, loader, state, &lives));
        let in_the_way = try_join_all(begun)
            .await?
            .into_iter()
            .max()
            .filter(|newest| *newest != 0);
        in_the_way.map(epoch).transpose()
    }

    /// Begins the epoch in one slot; the epoch that stands in the way, or 0.
    pub(super) async fn begin_slot(
        &self,
        slots: &Slots,
        slot: &Slot,
        loader: &str,
        state: &str,
        lives: &str,
    ) -> Result<u64> {
        let args = ["begin", loader, state, lives].map(Value::from);
        let args = slots.with_keys(slot, args.to_vec());
        let context = "starting to open a slot";
        let asked = self.link.call(context, "EVALSHA", slot.hash_slot, args);
        match asked.await? {
            Answer::Value(answer) if bytes(&answer) != Some(b"N") => {
                read_u64(&answer).ok_or_else(|| protocol("begin"))
            }
            _ => Err(interrupted(&slots.term)),
        }
    }

    /// Into every node, so that a hash slot may move between them. Returns the lives of all of
    /// them, to which the epoch is tied; a node that is replaced meanwhile is none of them, or does
    /// not know the script.
    pub(super) async fn load_script(&self) -> Result<String> {
        let mut lives = Vec::new();
        for node in self.link.nodes().await? {
            let refused = |reason: String| {
                EngineError::Config(format!("node {}:{}: {reason}", node.host, node.port))
            };
            let info = self.info(&node, &["server"]).await?;
            redis_server::too_old_because(&info).map_or(Ok(()), |reason| Err(refused(reason)))?;
            let args = vec!["LOAD".into(), self.script.text.as_str().into()];
            self.link
                .ask("loading the script", &node, "SCRIPT", args)
                .await?;
            lives.push(self.life(&node).await?);
        }
        Ok(lives.join(" "))
    }

    /// Loads one slot's buyers and its share of the units.
    pub(super) async fn fill(
        &self,
        slots: &Slots,
        slot: usize,
        loader: &str,
        buyers: &[OpeningBuyer],
        share: u64,
    ) -> Result<()> {
        for chunk in buyers.chunks(RECORDS_PER_CALL_MAX) {
            let args = vec![
                "load".into(),
                packed(records::pack_buyers(chunk)),
                loader.into(),
            ];
            slots
                .call(&self.link, slot, "loading buyers", args)
                .await?
                .ok_or_else(|| interrupted(&slots.term))?;
        }
        let distinct = buyers
            .iter()
            .map(|buyer| buyer.user)
            .collect::<HashSet<_>>()
            .len();
        self.step(
            slots,
            slot,
            "loading units",
            loader,
            "seal",
            [share, distinct as u64],
        )
        .await
    }

    pub(super) async fn step<const N: usize>(
        &self,
        slots: &Slots,
        slot: usize,
        context: &str,
        loader: &str,
        operation: &str,
        numbers: [u64; N],
    ) -> Result<()> {
        let mut args: Vec<Value> = vec![operation.into(), "".into(), loader.into()];
        args.extend(numbers.map(number));
        let done = slots.call(&self.link, slot, context, args).await?;
        done.map(|_| ()).ok_or_else(|| interrupted(&slots.term))
    }

    /// Fields of a slot's META, read without the script.
    pub(super) async fn read_meta(&self, slot: &Slot, fields: &[&str]) -> Result<Vec<Value>> {
        let mut args = vec![slot.meta.clone()];
        args.extend(fields.iter().map(|field| Value::from(*field)));
        match self
            .link
            .call("reading a slot", "HMGET", slot.hash_slot, args)
            .await?
        {
            Answer::Value(Value::Array(values)) if values.len() == fields.len() => Ok(values),
            _ => Err(protocol("HMGET")),
        }
    }
}

fn epoch(number: u64) -> Result<Epoch> {
    u32::try_from(number)
        .map(Epoch)
        .map_err(|_| protocol("begin"))
}

fn interrupted(term: &Term) -> EngineError {
    let context = format!(
        "opening sale {} epoch {}: a node changed, or a newer epoch has begun",
        term.sale, term.epoch
    );
    EngineError::Unavailable {
        context,
        source: None,
    }
}
