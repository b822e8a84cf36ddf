//! When to look for releases that an older binary has left in the outbox: at every look while there
//! are some, else now and then. Once no older binary runs there are none for ever, and a look that
//! finds nothing was half of what an idle process asked its database.

use crate::store::Store;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait of what an older binary has left, when nothing was found for [`LATELY`].
const NOW_AND_THEN: Duration = Duration::from_secs(1);
/// After something was found, every look is one into the outbox for so long: while an older binary
/// runs and orders are cancelled, nobody waits longer for their units than they did before.
const LATELY: Duration = Duration::from_secs(60);

/// What one that looks again and again remembers of it.
#[derive(Debug, Default)]
pub struct OlderReleases {
    looked: Option<Instant>,
    found: Option<Instant>,
}

impl OlderReleases {
    /// Takes over what is there, if it is time to look.
    pub async fn take_over(&mut self, store: &Store) -> database::Result<()> {
        let now = Instant::now();
        if !self.is_due(now) {
            return Ok(());
        }
        let count = store.take_over_releases().await?;
        self.has_looked(now, count);
        Ok(())
    }

    fn is_due(&self, now: Instant) -> bool {
        let within = |then: Option<Instant>, limit| then.is_some_and(|then| now - then < limit);
        within(self.found, LATELY) || !within(self.looked, NOW_AND_THEN)
    }

    fn has_looked(&mut self, now: Instant, count: usize) {
        self.looked = Some(now);
        if count > 0 {
            self.found = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As often as whoever looks most often.
    const PASS: Duration = Duration::from_millis(25);

    /// How often it looked in so long, from `now` on, in which it always finds so many.
    fn looks(older: &mut OlderReleases, now: &mut Instant, time: Duration, count: usize) -> u32 {
        let (until, mut looks) = (*now + time, 0);
        while *now < until {
            if older.is_due(*now) {
                older.has_looked(*now, count);
                looks += 1;
            }
            *now += PASS;
        }
        looks
    }

    #[test]
    fn nothing_is_looked_for_often_only_where_something_was_found_lately() {
        let (mut older, mut now) = (OlderReleases::default(), Instant::now());
        let hour = Duration::from_secs(3_600);
        let idle = looks(&mut older, &mut now, hour, 0);
        assert_eq!(idle, 3_600, "once a second");
        // The first one waits for that long at most; from then on there is no pause.
        let second = Duration::from_secs(1);
        assert!((1..=40).contains(&looks(&mut older, &mut now, second, 1)));
        assert_eq!(looks(&mut older, &mut now, second * 50, 0), 2_000);
        assert_eq!(looks(&mut older, &mut now, second, 1), 40);
        // Until nothing has come for long.
        assert_eq!(looks(&mut older, &mut now, second * 50, 0), 2_000);
        looks(&mut older, &mut now, second * 10, 0);
        assert_eq!(looks(&mut older, &mut now, hour, 0), 3_600);
    }
}
