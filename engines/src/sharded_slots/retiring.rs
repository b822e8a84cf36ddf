//! How a sale that is over is forgotten, slot by slot.

use super::ShardedSlots;
use super::answers::{protocol, read_u64};
use super::link::Answer;
use super::slots::Slot;
use crate::helpers::key_set::RETIRE;
use crate::{Epoch, Nonce, Result, SaleId, Term};

impl ShardedSlots {
    /// From the last slot to the first, each in a call of its own: what is left when it is
    /// interrupted is found by the next attempt. The first slot keeps the note, which every opening
    /// looks at.
    pub(super) async fn forget(&self, sale: SaleId, epoch: Epoch) -> Result<()> {
        for index in (0..self.slots_with_data(sale).await?).rev() {
            let slot = self.slot_of(sale, index);
            let note = if index == 0 { "note" } else { "" };
            let epoch = i64::from(epoch.0);
            let args = vec![
                RETIRE.into(),
                1.into(),
                slot.meta,
                epoch.into(),
                note.into(),
            ];
            let what = "retiring a slot";
            match self.link.call(what, "EVAL", slot.hash_slot, args).await? {
                Answer::Value(_) => {}
                Answer::NoScript => return Err(protocol("retire")),
            }
        }
        self.known.forget(sale);
        Ok(())
    }

    /// How many slots there may be: those of this process, those that any of them knows of, and
    /// those behind them that an older epoch had.
    async fn slots_with_data(&self, sale: SaleId) -> Result<usize> {
        let (mut count, mut index) = (self.slots, 0);
        loop {
            let meta = self
                .read_meta(&self.slot_of(sale, index), &["slots"])
                .await?;
            match read_u64(&meta[0]) {
                Some(slots) => count = count.max(slots as usize).max(index + 1),
                None if index >= count => return Ok(count),
                None => {}
            }
            index += 1;
        }
    }

    /// Only META is asked for, whose name has no epoch in it.
    fn slot_of(&self, sale: SaleId, index: usize) -> Slot {
        let (epoch, nonce) = (Epoch(0), Nonce(0));
        Slot::new(&self.prefix, &Term { sale, epoch, nonce }, index)
    }
}
