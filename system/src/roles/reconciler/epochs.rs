//! Opens epoch e+1 of a sale from the database: the first time, and whenever the engine has lost
//! what it knew.
//!
//! Fence every publisher, drain every queue, grant what no live row has taken, load stock and gate
//! from one snapshot, and only then open, by a conditional update from which processes learn the
//! new term (grant-under-lock, R11; lost-server-noticed, R13; open-by-condition, R14;
//! gate-from-rows, R19).

use super::turns::Turns;
use super::watch::Watch;
use crate::back_off::BackOff;
use crate::failpoint;
use crate::repair::{Drainer, Pass, Troubles};
use crate::store::{SaleRow, Store};
use anyhow::{Context, bail, ensure};
use engines::{Epoch, IncarnationId, Nonce, Opened, Opening, SaleId, StockEngine, Term};
use std::time::{Duration, Instant};

/// How often an outstanding acknowledgement is looked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What opening needs.
pub struct Opener<'a> {
    pub store: &'a Store,
    pub engine: &'a dyn StockEngine,
    pub drainer: &'a Drainer,
    pub watch: &'a Watch,
    /// What is added to a time that others measure, ms.
    pub margin_ms: u64,
    pub timeout_ms: u64,
}

impl Opener<'_> {
    /// Opens every sale that is not open in the database or in the engine, or whose total is to
    /// change.
    pub async fn open_missing(
        &self,
        turns: &mut Turns,
        back_off: &mut BackOff<IncarnationId>,
    ) -> anyhow::Result<Pass> {
        let missing = self.missing().await?.len() as u64;
        if missing == 0 {
            return Ok(Pass::default());
        }
        let Some(turn) = turns.take(self.store).await? else {
            return Ok(Pass {
                left: missing,
                ..Pass::default()
            });
        };
        let opened = self.open_all(back_off).await;
        turn.give_back().await;
        Ok(opened.unwrap_or_else(|error| {
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot open the next epochs yet"
            );
            Pass {
                left: missing,
                ..Pass::default()
            }
        }))
    }

    /// Publishers are fenced and queues drained once for all sales together.
    async fn open_all(&self, back_off: &mut BackOff<IncarnationId>) -> anyhow::Result<Pass> {
        let mut pass = Pass::default();
        let mut claimed = Vec::new();
        // Looked for again: the one who had the turn before may just have opened them.
        let missing = self.missing().await?;
        let all = missing.len();
        let missing = self.without_those_that_wait(missing, back_off).await?;
        pass.left += (all - missing.len()) as u64;
        for sale in missing {
            let epoch = self.store.claim_epoch(sale).await?;
            claimed.push((
                sale,
                epoch.context("another reconciler is opening this sale")?,
            ));
            failpoint::hit("reconciler.after_claim");
        }
        // Before the first epoch nobody can have published anything for a sale.
        if claimed.iter().any(|(_, epoch)| epoch.0 > 1) {
            self.fence_all().await?;
            self.drain_all(back_off).await?;
        }
        let mut troubles = Troubles::new("cannot open an epoch yet");
        for (sale, epoch) in claimed {
            match self.open_claimed(sale, epoch).await {
                Ok(()) => {
                    pass.epochs_opened += 1;
                    pass.first_epochs += u64::from(epoch.0 == 1);
                }
                Err(error) => {
                    troubles.add(format!("sale {sale}, epoch {epoch}: {error:#}"));
                    pass.left += 1;
                }
            }
        }
        troubles.report();
        Ok(pass)
    }

    /// exclusive-route (R6): a sale that was open before needs every queue drained, so it waits while
    /// one cannot be reached. Nobody is fenced for it, and nothing claimed: other sales go on.
    async fn without_those_that_wait(
        &self,
        mut missing: Vec<SaleId>,
        back_off: &mut BackOff<IncarnationId>,
    ) -> anyhow::Result<Vec<SaleId>> {
        let fresh = self.store.never_opened().await?;
        if missing.iter().any(|sale| !fresh.contains(sale)) && !self.are_reachable(back_off).await?
        {
            missing.retain(|sale| fresh.contains(sale));
        }
        Ok(missing)
    }

    /// Whether every queue that may hold orders can be reached now.
    pub async fn are_reachable(
        &self,
        back_off: &mut BackOff<IncarnationId>,
    ) -> anyhow::Result<bool> {
        let queues = self.store.queues_to_drain().await?;
        if queues.iter().any(|id| !back_off.is_due(*id)) {
            return Ok(false);
        }
        for id in queues {
            if let Err(error) = self.drainer.reach(id).await {
                tracing::warn!(
                    incarnation = id.0,
                    error = format!("{error:#}"),
                    "its queue keeps sales from being opened again, or from ending"
                );
                back_off.failed(id);
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn missing(&self) -> anyhow::Result<Vec<SaleId>> {
        let mut missing = Vec::new();
        let mut unasked = Troubles::new("cannot ask the engine about a sale");
        let now_ms = self.store.now_ms().await?;
        let sales = self.store.sales().await?;
        // parked-is-final (R10): what may be an order of the open epoch can still become a row of it. An
        // epoch that nobody needs does not take that away.
        let is_changing = sales.iter().any(|row| row.is_changing);
        let may_change = is_changing && !self.store.has_parked_messages().await?;
        for row in sales {
            // What is over ends: see endings.rs.
            if row.is_over(now_ms) {
                continue;
            }
            match self.is_open(&row).await {
                Ok(true) if !row.is_changing || !may_change => {}
                // Also one that is open: only the next epoch changes its total, behind fence and drain
                // (units-in-one-place, R16).
                Ok(_) => missing.push(row.sale),
                // Not a lost epoch; and no reason to let other sales wait.
                Err(error) => unasked.add(format!("sale {}: {error:#}", row.sale)),
            }
        }
        unasked.report();
        Ok(missing)
    }

    /// An engine that is out of reach is an error, not a lost epoch. An epoch ends, too, when a
    /// process that owns buyers of it has died; and where buyers are dealt among publishers, when
    /// those who live are not those it was dealt among: buyers move only behind fence and drain.
    async fn is_open(&self, row: &SaleRow) -> anyhow::Result<bool> {
        let publishers = self.watch.live().await?;
        let are_dealt = self.engine.info().guarantees.needs_user_affinity;
        if are_dealt && publishers.is_empty() {
            // Nobody to deal the buyers to. Whoever comes is looked for again in the next pass.
            return Ok(true);
        }
        let Some(open) = row.open else {
            return Ok(false);
        };
        let stock = self
            .engine
            .stock(&open.term)
            .await
            .with_context(|| format!("cannot ask the engine about sale {}", row.sale))?;
        let owners = stock.instances();
        // Dealt to nobody is an epoch too, if they died while it was opened; whoever comes needs
        // the next one.
        let are_there = match are_dealt {
            true => owners == publishers,
            false => owners.iter().all(|owner| publishers.contains(owner)),
        };
        Ok(stock.is_open && are_there)
    }

    /// Needs every publisher fenced and every queue drained since the claim.
    async fn open_claimed(&self, sale: SaleId, epoch: Epoch) -> anyhow::Result<()> {
        // Before the grant: on SQLite a long one lets no heartbeat through, and then those who live
        // seem to have died.
        let publishers = self.watch.live().await?;
        let snapshot = self
            .store
            .grant(sale, epoch)
            .await
            .context("cannot grant the epoch its stock")?;
        let snapshot = snapshot.context("another reconciler has started a newer epoch")?;
        failpoint::hit("reconciler.after_grant");
        let term = Term {
            sale,
            epoch,
            nonce: Nonce(rand::random()),
        };
        let (granted, buyers) = (snapshot.granted, snapshot.buyers.len());
        let opened = self
            .engine
            .open(&Opening {
                term,
                granted,
                buyers: snapshot.buyers,
                publishers,
            })
            .await
            .context("the engine cannot open")?;
        ensure!(
            opened == Opened::Opened,
            "the engine did not open epoch {epoch}: {opened:?}"
        );
        failpoint::hit("reconciler.after_engine_open");
        // open-by-condition (R14): still the newest? A stalled second reconciler opens nothing.
        let is_open = self.store.open_term(&term, snapshot.allocation_id).await?;
        ensure!(
            is_open,
            "another reconciler has started a newer epoch than {epoch}"
        );
        tracing::info!(
            sale = sale.0,
            epoch = epoch.0,
            granted,
            buyers,
            "epoch open"
        );
        Ok(())
    }

    /// fence-wait (R1): bumps every live publisher's generation and waits until each has
    /// acknowledged or has surely lost its lease.
    pub async fn fence_all(&self) -> anyhow::Result<()> {
        self.store.fence_live().await?;
        let raised = Instant::now();
        let bumped = self.store.generations().await?;
        let deadline = Instant::now() + Duration::from_millis(self.timeout_ms);
        for (id, generation) in bumped {
            self.drainer.unbind(id, generation.before()).await?;
            while !self.watch.is_fenced(id, generation, raised).await? {
                if Instant::now() > deadline {
                    bail!("incarnation {id} neither acknowledged its fence nor lost its lease");
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// One that does not drain is left alone for a while, and with it whoever needs it drained.
    pub async fn drain_all(&self, back_off: &mut BackOff<IncarnationId>) -> anyhow::Result<()> {
        for (id, _) in self.store.generations().await? {
            let drained = self.drainer.drain(id).await;
            if !matches!(drained, Ok(true)) {
                back_off.failed(id);
            }
            ensure!(
                drained?,
                "the queue of incarnation {id} does not drain; is a create-consumer running?"
            );
            back_off.succeeded(id);
        }
        Ok(())
    }
}
