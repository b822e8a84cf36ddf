//! Whether this instance should be sent buyers: it holds its lease, can reach the broker, has
//! something to sell from, and its clock agrees with the database's.

use crate::admin::Admin;
use crate::broker::Publisher;
use crate::clock::unix_ms;
use crate::incarnation::Incarnation;
use crate::store::Store;
use crate::terms::Terms;
use engines::StockEngine;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How often lease and broker are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often the engine is asked whether the present terms are open, and how long it may take.
const TERM_INTERVAL: Duration = Duration::from_secs(1);
/// Sales that are asked for in one go; one that is open is enough.
const MAX_ASKED: usize = 8;
/// How long a term may be lost. Every new epoch takes the terms of all instances away for a moment:
/// a balancer that heard of it would have nobody left.
const LOST_TERM_GRACE: Duration = Duration::from_secs(5);
/// How often the clocks are compared.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Debug)]
pub struct Sources {
    pub incarnation: Incarnation,
    pub terms: Terms,
    /// Of every serving thread.
    pub publishers: Vec<Arc<dyn Publisher>>,
    pub engine: Arc<dyn StockEngine>,
    pub store: Store,
    /// The deadline of a request, ms: engines compare it with wall clocks.
    pub deadline_ms: u64,
}

/// Why no buyers should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unready {
    NoLease,
    BrokerAway,
    TermLost,
    ClockOff(i64),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLease => f.write_str("the lease has run out"),
            Self::BrokerAway => f.write_str("the broker is out of reach"),
            Self::TermLost => write!(f, "no term for {LOST_TERM_GRACE:?}"),
            Self::ClockOff(by_ms) => {
                write!(f, "this clock is {by_ms} ms ahead of the database's")
            }
        }
    }
}

/// What one look has shown.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The lease is held, or was ended by a fence, which is the beginning of another term.
    has_lease: bool,
    is_fenced: bool,
    has_broker: bool,
    /// Whether a sale is open; also where none has to be.
    has_term: bool,
    /// How far this clock is ahead of the database's at least, ms; behind it below 0.
    clock_off_ms: i64,
}

/// Judges what is seen; remembers since when there has been no term.
#[derive(Debug)]
struct Judge {
    deadline_ms: u64,
    no_term_since: Option<Instant>,
}

impl Judge {
    fn judge(&mut self, seen: Seen, now: Instant) -> Option<Unready> {
        self.no_term_since = match seen.has_term && !seen.is_fenced {
            true => None,
            false => Some(self.no_term_since.unwrap_or(now)),
        };
        let lost = self.no_term_since;
        if seen.clock_off_ms.unsigned_abs() > self.deadline_ms {
            Some(Unready::ClockOff(seen.clock_off_ms))
        } else if !seen.has_lease {
            Some(Unready::NoLease)
        } else if !seen.has_broker {
            Some(Unready::BrokerAway)
        } else if lost.is_some_and(|since| now.duration_since(since) >= LOST_TERM_GRACE) {
            Some(Unready::TermLost)
        } else {
            None
        }
    }
}

/// Looks for as long as it is polled, and says in `ready` what it has seen, and `admin` why. A term counts as held
/// until the engine has been asked.
pub async fn watch(
    sources: Sources,
    ready: watch::Sender<bool>,
    admin: Admin,
) -> anyhow::Result<()> {
    let has_term = AtomicBool::new(true);
    let clock_off_ms = AtomicI64::new(0);
    compare_clocks(&sources, &clock_off_ms).await;
    tokio::join!(
        look(&sources, (&has_term, &clock_off_ms), &ready, &admin),
        ask_for_terms(&sources, &has_term),
        keep_comparing_clocks(&sources, &clock_off_ms),
    );
    Ok(())
}

async fn look(
    sources: &Sources,
    (has_term, clock_off_ms): (&AtomicBool, &AtomicI64),
    ready: &watch::Sender<bool>,
    admin: &Admin,
) {
    let mut judge = Judge {
        deadline_ms: sources.deadline_ms,
        no_term_since: None,
    };
    let mut known = None;
    loop {
        let is_fenced = sources.incarnation.is_fenced();
        let seen = Seen {
            has_lease: is_fenced || sources.incarnation.current().is_some(),
            is_fenced,
            has_broker: sources.publishers.iter().all(|one| one.is_connected()),
            has_term: has_term.load(Ordering::Relaxed),
            clock_off_ms: clock_off_ms.load(Ordering::Relaxed),
        };
        let unready = judge.judge(seen, Instant::now());
        admin.unready("selling", unready.map(|why| why.to_string()));
        let was_ready = ready.send_replace(unready.is_none());
        match unready {
            // How far a clock is off changes a little all the time.
            Some(why) if known != Some(std::mem::discriminant(&why)) => {
                tracing::warn!(%why, "not ready for buyers");
            }
            None if !was_ready => tracing::info!("ready for buyers"),
            _ => {}
        }
        known = unready.as_ref().map(std::mem::discriminant);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

async fn ask_for_terms(sources: &Sources, has_term: &AtomicBool) {
    let mut turn = 0;
    loop {
        tokio::time::sleep(TERM_INTERVAL).await;
        let sales = sources.terms.sales();
        let open: Vec<_> = sales.values().filter_map(|row| row.open).collect();
        // Before its first epoch, and once it is ending, a sale has no term to lose.
        let mut is_any_open = sales.values().all(|row| row.newest.0 == 0 || row.is_ending);
        for step in 0..open.len().min(MAX_ASKED) {
            let term = open[(turn + step) % open.len()].term;
            let asking = tokio::time::timeout(TERM_INTERVAL, sources.engine.stock(&term));
            if matches!(asking.await, Ok(Ok(stock)) if stock.is_open) {
                is_any_open = true;
                break;
            }
        }
        turn = turn.wrapping_add(MAX_ASKED);
        has_term.store(is_any_open, Ordering::Relaxed);
    }
}

async fn keep_comparing_clocks(sources: &Sources, clock_off_ms: &AtomicI64) {
    loop {
        tokio::time::sleep(CLOCK_INTERVAL).await;
        compare_clocks(sources, clock_off_ms).await;
    }
}

async fn compare_clocks(sources: &Sources, clock_off_ms: &AtomicI64) {
    let (asked_ms, began) = (unix_ms(), Instant::now());
    match sources.store.now_ms().await {
        Ok(theirs_ms) => {
            let took_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
            let off_ms = surely_off_ms(asked_ms, took_ms, theirs_ms);
            clock_off_ms.store(off_ms, Ordering::Relaxed);
        }
        Err(error) => tracing::debug!(%error, "cannot read the database's clock"),
    }
}

/// By how much a clock that showed `asked_ms` is ahead of one that showed `theirs_ms` at some
/// moment of the `took_ms` after it, at least; 0 where they may agree.
fn surely_off_ms(asked_ms: i64, took_ms: i64, theirs_ms: i64) -> i64 {
    let at_most = asked_ms.saturating_add(took_ms).saturating_sub(theirs_ms);
    let at_least = asked_ms.saturating_sub(theirs_ms);
    if at_least > 0 {
        at_least
    } else if at_most < 0 {
        at_most
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Seen = Seen {
        has_lease: true,
        is_fenced: false,
        has_broker: true,
        has_term: true,
        clock_off_ms: 0,
    };

    fn judge() -> Judge {
        Judge {
            deadline_ms: 1_500,
            no_term_since: None,
        }
    }

    #[test]
    fn without_lease_or_broker_an_instance_is_not_ready_at_once() {
        let now = Instant::now();
        let without_lease = Seen {
            has_lease: false,
            ..FINE
        };
        let without_broker = Seen {
            has_broker: false,
            ..FINE
        };
        assert_eq!(judge().judge(FINE, now), None);
        assert_eq!(judge().judge(without_lease, now), Some(Unready::NoLease));
        assert_eq!(
            judge().judge(without_broker, now),
            Some(Unready::BrokerAway)
        );
    }

    #[test]
    fn a_lost_term_counts_only_when_it_stays_lost() {
        let lost = Seen {
            has_term: false,
            ..FINE
        };
        let fenced = Seen {
            is_fenced: true,
            ..FINE
        };
        let start = Instant::now();
        let after = |seconds| start + Duration::from_millis(seconds);
        for without in [lost, fenced] {
            let mut judge = judge();
            assert_eq!(judge.judge(without, after(0)), None);
            assert_eq!(judge.judge(without, after(4_900)), None);
            assert_eq!(judge.judge(FINE, after(4_950)), None);
            assert_eq!(judge.judge(without, after(5_000)), None);
            assert_eq!(judge.judge(without, after(9_900)), None);
            let lost = judge.judge(without, after(10_000));
            assert_eq!(lost, Some(Unready::TermLost));
            assert_eq!(judge.judge(FINE, after(10_100)), None);
        }
    }

    #[test]
    fn a_clock_that_is_off_by_more_than_a_deadline_is_told_with_the_figure() {
        for (off_ms, unready) in [
            (1_500, None),
            (1_501, Some(Unready::ClockOff(1_501))),
            (-3_600_000, Some(Unready::ClockOff(-3_600_000))),
        ] {
            let seen = Seen {
                clock_off_ms: off_ms,
                ..FINE
            };
            assert_eq!(judge().judge(seen, Instant::now()), unready);
        }
        let words = Unready::ClockOff(-7).to_string();
        assert_eq!(words, "this clock is -7 ms ahead of the database's");
    }

    #[test]
    fn a_slow_answer_is_not_taken_for_a_clock_that_is_off() {
        assert_eq!(surely_off_ms(10_000, 4_000, 10_000), 0);
        assert_eq!(surely_off_ms(10_000, 4_000, 14_000), 0);
        assert_eq!(surely_off_ms(10_000, 4_000, 15_000), -1_000);
        assert_eq!(surely_off_ms(10_000, 4_000, 8_000), 2_000);
    }
}
