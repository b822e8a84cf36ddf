//! What is over and done: releases that there is nothing left to do about, and old rows that nobody
//! needs any more. A bounded part of it in every pass, and behind every repair.

use crate::clock::unix_ms;
use crate::config::Config;
use crate::repair::releases::{self, OlderReleases};
use crate::repair::{Pass, Troubles};
use crate::store::{Release, ReleaseCursor, ReleasesLeft, Store};
use engines::StockEngine;
use std::time::{Duration, Instant};

/// Statements that read releases in one pass.
const PAGES_PER_PASS: usize = 5;

/// How often it is told that dead letters are open.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Remembers how far it has gone through the releases that are left.
#[derive(Debug)]
pub struct Leftovers {
    markers_kept_ms: u64,
    /// Of everything else that is done.
    done_kept_ms: u64,
    place: ReleaseCursor,
    older: OlderReleases,
    /// When dead letters were counted last.
    counted: Option<Instant>,
    troubles: Troubles,
}

impl Leftovers {
    pub fn new(config: &Config) -> Self {
        Self {
            markers_kept_ms: config.reconciler.marker_retention_s.saturating_mul(1_000),
            done_kept_ms: config.outbox.retention_s.saturating_mul(1_000),
            place: ReleaseCursor::default(),
            older: OlderReleases::default(),
            counted: None,
            troubles: Troubles::new("cannot clear away what is done"),
        }
    }

    /// Clears some of it away. What fails is told, and tried again in the next pass.
    pub async fn clear(&mut self, store: &Store) -> Pass {
        let mut pass = Pass::default();
        match self.close_releases(store).await {
            Ok(over) => pass.releases_done += over,
            Err(error) => self.troubles.add(error),
        }
        match self.forget(store).await {
            Ok(forgotten) => pass.forgotten += forgotten,
            Err(error) => self.troubles.add(error),
        }
        if let Err(error) = self.tell_of_dead_letters(store).await {
            self.troubles.add(error);
        }
        self.troubles.report();
        pass
    }

    /// parked-is-final (R10): nobody decides about them but people.
    async fn tell_of_dead_letters(&mut self, store: &Store) -> database::Result<()> {
        if self.counted.is_some_and(|at| at.elapsed() < TELL_EVERY) {
            return Ok(());
        }
        self.counted = Some(Instant::now());
        let letters = store.open_dead_letters().await?;
        if letters.open > 0 {
            let (open, oldest_s) = (letters.open, letters.oldest_age_ms / 1_000);
            tracing::warn!(
                open,
                oldest_s,
                "dead letters are open: seckill dead-letter list"
            );
        }
        Ok(())
    }

    /// release-by-epoch (R12): those whose epoch is over are done.
    async fn close_releases(&mut self, store: &Store) -> database::Result<u64> {
        self.older.take_over(store).await?;
        let mut over = 0;
        for _ in 0..PAGES_PER_PASS {
            let page = store
                .release_page(self.place, releases::PAGE as i64)
                .await?;
            let next = page.last().filter(|_| page.len() == releases::PAGE);
            let next = next.map(ReleasesLeft::place);
            let done = page.iter().filter(|left| left.is_over());
            let done: Vec<Release> = done.flat_map(|left| left.releases.clone()).collect();
            store.mark_released(&done).await?;
            over += done.len() as u64;
            self.place = next.unwrap_or_default();
            if next.is_none() {
                break;
            }
        }
        Ok(over)
    }

    async fn forget(&self, store: &Store) -> database::Result<u64> {
        let before = |kept_ms: u64| unix_ms().saturating_sub_unsigned(kept_ms);
        let markers = store.forget_markers(before(self.markers_kept_ms)).await?;
        let done_before = before(self.done_kept_ms);
        let outbox = store.forget_outbox(done_before).await?;
        let letters = store.forget_dead_letters(done_before).await?;
        let keys = store.forget_keys(done_before).await?;
        Ok(markers + outbox + letters + keys)
    }
}

/// Does with `engine` what is left to be done: nobody else may be there to do it. How many
/// releases are left then is in the pass.
pub async fn release(store: &Store, engine: &dyn StockEngine) -> database::Result<Pass> {
    // Nobody has looked before: what is there is taken over.
    let mut older = OlderReleases::default();
    let swept = releases::sweep(store, Some(engine), &mut older, |_| true).await?;
    Ok(Pass {
        releases_done: swept.done(),
        left: swept.left,
        ..Pass::default()
    })
}
