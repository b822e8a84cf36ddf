//! What the legs so far say of each rate of the grid.

use std::collections::BTreeMap;

/// Legs that decide a rate, all of them or the majority.
pub(super) const LEGS_PER_RATE: u32 = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    met: u32,
    missed: u32,
}

/// Legs by the index of their rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Record {
    tallies: BTreeMap<i32, Tally>,
}

impl Record {
    pub(super) fn add(&mut self, index: i32, met: bool) {
        let tally = self.tallies.entry(index).or_default();
        if met {
            tally.met += 1;
        } else {
            tally.missed += 1;
        }
    }

    fn at(&self, index: i32) -> Tally {
        self.tallies.get(&index).copied().unwrap_or_default()
    }

    /// What two of three legs say; none while they do not agree.
    pub(super) fn majority(&self, index: i32) -> Option<bool> {
        const MAJORITY: u32 = LEGS_PER_RATE / 2 + 1;
        let Tally { met, missed } = self.at(index);
        if met >= MAJORITY {
            Some(true)
        } else {
            (missed >= MAJORITY).then_some(false)
        }
    }

    /// Whether all of three legs met the objective; none while there are too few to tell.
    pub(super) fn all_met(&self, index: i32) -> Option<bool> {
        let Tally { met, missed } = self.at(index);
        all(met, missed)
    }

    /// Whether all of three legs missed it; none while there are too few to tell.
    pub(super) fn all_missed(&self, index: i32) -> Option<bool> {
        let Tally { met, missed } = self.at(index);
        all(missed, met)
    }
}

fn all(wanted: u32, others: u32) -> Option<bool> {
    if others > 0 {
        Some(false)
    } else {
        (wanted >= LEGS_PER_RATE).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_three_decide_and_one_against_denies_all() {
        let mut record = Record::default();
        assert_eq!((record.majority(4), record.all_met(4)), (None, None));
        record.add(4, true);
        assert_eq!(
            (record.majority(4), record.all_missed(4)),
            (None, Some(false))
        );
        record.add(4, true);
        assert_eq!((record.majority(4), record.all_met(4)), (Some(true), None));
        record.add(4, false);
        assert_eq!(
            (record.majority(4), record.all_met(4)),
            (Some(true), Some(false))
        );
        for _ in 0..3 {
            record.add(5, false);
        }
        assert_eq!(
            (record.majority(5), record.all_missed(5)),
            (Some(false), Some(true))
        );
    }
}
