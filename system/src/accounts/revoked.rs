//! Whose tokens were revoked lately: as far back as a token can still hold, and no further, so that
//! no request has to ask the database.

use crate::store::Revocation;
use crate::tokens::Caller;
use engines::UserId;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How far the clocks of processes may be apart here, and how long a revocation may take until others
/// can read it, s.
pub const APART_S: i64 = 60;
/// Revocations that are remembered one by one. Beyond it the oldest are remembered by their time: all
/// tokens from before are refused, and whoever has one logs in again.
pub const REVOCATIONS_MAX: usize = 100_000;
/// After so long without a look at the database nobody's token is believed. A password cannot change
/// while the database is away, but it may be away for this process alone.
const STALE_MAX: Duration = Duration::from_secs(30);

/// What is known, and since when.
#[derive(Debug)]
pub struct Revoked {
    /// The version that each user's tokens need, and since when, unix s.
    needed: HashMap<UserId, (i64, i64)>,
    /// Tokens that were issued at or before it are refused, unix s.
    floor_s: i64,
    /// A token holds no longer than so long from its issue, s.
    age_max_s: i64,
    most: usize,
    read_at: Instant,
}

/// Why a token does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is of an earlier version of the account, or so old that nobody knows.
    Revoked,
    /// It was issued longer ago than a token holds.
    Expired,
    /// Nobody can say.
    Unknown,
}

impl Revoked {
    /// What is known before anything was read: nothing, from now on.
    pub fn new(age_max_s: i64, most: usize) -> Self {
        Self {
            needed: HashMap::new(),
            floor_s: 0,
            age_max_s,
            most,
            read_at: Instant::now(),
        }
    }

    /// From when on revocations matter now.
    pub fn horizon_s(&self, now_s: i64) -> i64 {
        now_s - self.age_max_s - APART_S
    }

    /// Adds what was read at `read_at`, the latest first, and forgets what no longer matters.
    /// `was_cut`: there is more, from before the last of them.
    pub fn add(&mut self, found: &[Revocation], was_cut: bool, (read_at, now_s): (Instant, i64)) {
        for revocation in found {
            let needed = self.needed.entry(revocation.user).or_default();
            *needed = (*needed).max((revocation.version, revocation.at_s));
        }
        if was_cut && let Some(last) = found.last() {
            self.floor_s = self.floor_s.max(last.at_s + APART_S);
        }
        let horizon_s = self.horizon_s(now_s);
        self.needed.retain(|_, (_, at_s)| *at_s >= horizon_s);
        if self.needed.len() > self.most {
            let mut times: Vec<i64> = self.needed.values().map(|(_, at_s)| *at_s).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            let cut_s = times[self.most];
            self.needed.retain(|_, (_, at_s)| *at_s > cut_s);
            self.floor_s = self.floor_s.max(cut_s + APART_S);
        }
        self.read_at = read_at;
    }

    /// Whether this token, which holds by itself, is believed.
    pub fn judge(&self, caller: &Caller, now_s: i64) -> Result<(), Doubt> {
        let issued_s = i64::try_from(caller.issued_at_s).unwrap_or(i64::MAX);
        let needed = self.needed.get(&caller.user);
        if self.read_at.elapsed() > STALE_MAX {
            Err(Doubt::Unknown)
        } else if issued_s.saturating_add(self.age_max_s) < now_s {
            Err(Doubt::Expired)
        } else if issued_s <= self.floor_s || needed.is_some_and(|(v, _)| caller.version < *v) {
            Err(Doubt::Revoked)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_000_000;
    const AGE_MAX_S: i64 = 600;

    fn caller(user: i64, version: i64, issued_at_s: i64) -> Caller {
        Caller {
            user: UserId(user),
            is_admin: false,
            version,
            issued_at_s: issued_at_s.cast_unsigned(),
        }
    }

    fn revocation(user: i64, version: i64, at_s: i64) -> Revocation {
        Revocation {
            user: UserId(user),
            version,
            at_s,
        }
    }

    fn revoked(most: usize, found: &[Revocation], was_cut: bool, now_s: i64) -> Revoked {
        let mut revoked = Revoked::new(AGE_MAX_S, most);
        revoked.add(found, was_cut, (Instant::now(), now_s));
        revoked
    }

    #[test]
    fn tokens_of_an_earlier_version_are_refused_and_later_ones_believed() {
        let mut known = revoked(9, &[revocation(1, 3, NOW_S)], false, NOW_S);
        let judge =
            |known: &Revoked, user, version| known.judge(&caller(user, version, NOW_S), NOW_S);
        assert_eq!(judge(&known, 1, 2), Err(Doubt::Revoked));
        assert_eq!(judge(&known, 1, 0), Err(Doubt::Revoked));
        // One that was issued since the last look.
        assert_eq!(judge(&known, 1, 4), Ok(()));
        assert_eq!(judge(&known, 1, 3), Ok(()));
        assert_eq!(judge(&known, 2, 0), Ok(()));
        // What is read twice, or late, takes nothing back.
        known.add(&[revocation(1, 2, NOW_S)], false, (Instant::now(), NOW_S));
        assert_eq!(judge(&known, 1, 2), Err(Doubt::Revoked));
    }

    #[test]
    fn a_revocation_is_forgotten_only_when_no_token_from_before_it_can_hold() {
        let mut known = revoked(9, &[revocation(1, 2, NOW_S)], false, NOW_S);
        let last_s = NOW_S + AGE_MAX_S;
        known.add(&[], false, (Instant::now(), last_s));
        let old = caller(1, 1, NOW_S);
        assert_eq!(known.judge(&old, last_s), Err(Doubt::Revoked));
        known.add(&[], false, (Instant::now(), last_s + APART_S + 1));
        assert!(known.needed.is_empty());
        assert_eq!(known.judge(&old, last_s + 1), Err(Doubt::Expired));
    }

    #[test]
    fn of_too_many_revocations_the_oldest_hold_for_everybody() {
        let times = [3, 2, 1, 0].map(|age| NOW_S - 100 * age);
        let all: Vec<_> = times
            .iter()
            .enumerate()
            .map(|(user, at_s)| revocation(user as i64, 2, *at_s))
            .collect();
        let known = revoked(2, &all, false, NOW_S);
        assert_eq!(known.needed.len(), 2);
        let floor_s = times[1] + APART_S;
        for (user, issued_s, expected) in [
            (0, floor_s, Err(Doubt::Revoked)),
            (9, floor_s, Err(Doubt::Revoked)),
            (9, floor_s + 1, Ok(())),
            (3, NOW_S, Err(Doubt::Revoked)),
        ] {
            assert_eq!(known.judge(&caller(user, 1, issued_s), NOW_S), expected);
        }
        // The same of what was not even read.
        let known = revoked(9, &all[3..], true, NOW_S);
        let before = caller(9, 1, NOW_S + APART_S);
        assert_eq!(known.judge(&before, NOW_S), Err(Doubt::Revoked));
    }

    #[test]
    fn nobody_is_believed_when_nothing_was_read_for_long() {
        let mut known = revoked(9, &[], false, NOW_S);
        let fresh = caller(1, 1, NOW_S);
        assert_eq!(known.judge(&fresh, NOW_S), Ok(()));
        let Some(long_ago) = Instant::now().checked_sub(STALE_MAX * 2) else {
            return;
        };
        known.read_at = long_ago;
        assert_eq!(known.judge(&fresh, NOW_S), Err(Doubt::Unknown));
    }
}
