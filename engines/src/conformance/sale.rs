//! One sale under test and the calls that checks make on it, with everything unexpected as a
//! failure.

use super::harness::{Failure, Harness, Outcome, equal};
use crate::{
    EngineError, Epoch, Finish, FinishKind, Finished, Hold, HoldKey, HoldPageQuery, IncarnationId,
    Nonce, OpenHold, Opened, Opening, OpeningBuyer, OrderId, Reserve, SaleId, StockEngine,
    StockView, Tending, Term, UserId, Verdict,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time a request has before it expires; far longer than any check runs.
const LIFETIME_MS: i64 = 3_600_000;
/// Longest wait for a condition.
const CONDITION_WITHIN: Duration = Duration::from_secs(20);
/// Pause between two looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Pages of one listing; more means that it does not end.
const PAGES_MAX: usize = 10_000;

/// Publishes everything unless a check says otherwise.
pub(super) const PUBLISHER: IncarnationId = IncarnationId(2);
/// The other instance of checks that have two.
pub(super) const OTHER_PUBLISHER: IncarnationId = IncarnationId(3);
/// One that starts after both.
const LATER_PUBLISHER: IncarnationId = IncarnationId(4);

impl Harness {
    /// A sale of its own, not open yet, behind a client of its own.
    pub(super) async fn closed_sale(&self) -> crate::Result<Sale<'_>> {
        Ok(Sale::new(self, self.engine().await?, SaleId(self.id())))
    }

    /// A sale of its own, open with `granted` units and no buyers.
    pub(super) async fn open_sale(&self, granted: u64) -> Result<Sale<'_>, Failure> {
        let sale = self.closed_sale().await?;
        sale.open(granted, Vec::new()).await?;
        Ok(sale)
    }
}

#[derive(Clone)]
pub(super) struct Sale<'a> {
    harness: &'a Harness,
    pub(super) engine: Arc<dyn StockEngine>,
    pub(super) term: Term,
    /// Who asks for units here.
    pub(super) incarnation: IncarnationId,
    /// Among whom an opening deals the buyers.
    publishers: Vec<IncarnationId>,
}

impl<'a> Sale<'a> {
    pub(super) fn new(harness: &'a Harness, engine: Arc<dyn StockEngine>, sale: SaleId) -> Self {
        let term = Term {
            sale,
            epoch: Epoch(1),
            nonce: Nonce(harness.id() as u64),
        };
        Self {
            harness,
            engine,
            term,
            incarnation: PUBLISHER,
            publishers: vec![PUBLISHER],
        }
    }

    /// Another instance of the same sale, not open yet: its own client, its own incarnation, and
    /// both deal the buyers.
    pub(super) async fn with_other_instance(mut self) -> Result<(Self, Self), Failure> {
        self.publishers = vec![PUBLISHER, OTHER_PUBLISHER];
        let other = Self {
            incarnation: OTHER_PUBLISHER,
            ..self.elsewhere().await?
        };
        Ok((self, other))
    }

    /// A process that starts after the opening: its own client, and the newest incarnation.
    pub(super) async fn later_instance(&self) -> Result<Self, Failure> {
        Ok(Self {
            incarnation: LATER_PUBLISHER,
            ..self.elsewhere().await?
        })
    }

    /// Whether a buyer must always come to the same instance.
    fn are_buyers_dealt(&self) -> bool {
        self.engine.info().guarantees.needs_user_affinity
    }

    /// Whether the state is in the process, so that another client is another process.
    pub(super) fn is_in_process(&self) -> bool {
        self.engine.info().guarantees.needs_one_engine_per_process
    }

    /// Clients through which the same buyers may come: several, or this one if they must all come
    /// to the same process.
    pub(super) async fn clients(&self, count: usize) -> Result<Vec<Arc<dyn StockEngine>>, Failure> {
        let mut clients = vec![self.engine.clone()];
        let is_one = self.are_buyers_dealt() || self.is_in_process();
        while !is_one && clients.len() < count {
            clients.push(self.harness.engine().await?);
        }
        Ok(clients)
    }

    /// `other`, or this very incarnation if nobody else may come for its buyers.
    pub(super) fn incarnation_or_own(&self, other: IncarnationId) -> IncarnationId {
        if self.are_buyers_dealt() {
            self.incarnation
        } else {
            other
        }
    }

    /// The same sale through this client.
    pub(super) fn through(&self, engine: Arc<dyn StockEngine>) -> Self {
        Self {
            engine,
            ..self.clone()
        }
    }

    /// The same sale through another client.
    pub(super) async fn elsewhere(&self) -> Result<Self, Failure> {
        Ok(self.through(self.harness.engine().await?))
    }

    /// The same sale and client under another term.
    pub(super) fn under(&self, term: Term) -> Self {
        Self {
            term,
            ..self.clone()
        }
    }

    /// The same sale and client under the next epoch, which is not open yet.
    pub(super) fn next_epoch(&self) -> Self {
        let nonce = Nonce(self.harness.id() as u64);
        Self {
            term: Term {
                epoch: Epoch(self.term.epoch.0 + 1),
                nonce,
                ..self.term
            },
            ..self.clone()
        }
    }

    pub(super) fn opening(&self, granted: u64, buyers: Vec<OpeningBuyer>) -> Opening {
        Opening {
            term: self.term,
            granted,
            buyers,
            publishers: self.publishers.clone(),
        }
    }

    pub(super) async fn open(&self, granted: u64, buyers: Vec<OpeningBuyer>) -> Outcome {
        let opened = self.engine.open(&self.opening(granted, buyers)).await?;
        equal(opened, Opened::Opened, "opening a fresh epoch")?;
        if self.is_in_process() {
            // As every publishing process does all the time: from here on it knows the term.
            self.tend().await?;
        }
        Ok(())
    }

    /// The care that this publishing process takes of the sale every few ms.
    pub(super) async fn tend(&self) -> Result<u64, Failure> {
        let tending = Tending {
            term: self.term,
            publisher: Some(self.incarnation),
        };
        Ok(self.engine.tend(&tending).await?)
    }

    pub(super) fn order(&self) -> OrderId {
        OrderId(self.harness.id())
    }

    /// A fresh request of `user`.
    pub(super) fn request(&self, user: i64, quantity: u32) -> Reserve {
        let expires_at_ms = now_ms() + LIFETIME_MS;
        Reserve {
            user: UserId(user),
            order: self.order(),
            quantity,
            expires_at_ms,
            incarnation: self.incarnation,
            may_sell: true,
        }
    }

    pub(super) async fn reserve(&self, request: Reserve) -> Result<Verdict, Failure> {
        let mut verdicts = self.engine.reserve(&self.term, &[request]).await;
        equal(verdicts.len(), 1, "answers to one request")?;
        Ok(bare(verdicts.remove(0)?))
    }

    pub(super) async fn reserve_all(&self, batch: &[Reserve]) -> Result<Vec<Verdict>, Failure> {
        let verdicts = self.engine.reserve(&self.term, batch).await.into_iter();
        Ok(verdicts
            .map(|verdict| verdict.map(bare))
            .collect::<Result<_, EngineError>>()?)
    }

    /// Buys for `user`, who must be granted it.
    pub(super) async fn buy(&self, user: i64, quantity: u32) -> Result<Reserve, Failure> {
        let request = self.request(user, quantity);
        equal(
            self.reserve(request).await?,
            Verdict::GRANTED,
            "a request with stock left",
        )?;
        Ok(request)
    }

    pub(super) async fn finish(
        &self,
        bought: &Reserve,
        kind: FinishKind,
    ) -> Result<Finished, Failure> {
        let mut answers = self
            .engine
            .finish(&self.term, &[finish_of(bought, kind)])
            .await;
        equal(answers.len(), 1, "answers to one finish")?;
        Ok(answers.remove(0)?)
    }

    pub(super) async fn settle(&self, bought: &Reserve) -> Result<Finished, Failure> {
        self.finish(bought, FinishKind::Settle).await
    }

    pub(super) async fn release(&self, bought: &Reserve) -> Result<Finished, Failure> {
        self.finish(bought, FinishKind::Release).await
    }

    pub(super) async fn stock(&self) -> Result<StockView, Failure> {
        Ok(self.engine.stock(&self.term).await?)
    }

    pub(super) async fn expect_stock(&self, remaining: i64, open_units: u64) -> Outcome {
        let view = self.stock().await?;
        equal(
            (view.remaining, view.open_units),
            (remaining, open_units),
            "units remaining and open",
        )
    }

    /// Every open hold untouched for that long, each once, by order id.
    pub(super) async fn list(&self, age_ms: u64, limit: u32) -> Result<Vec<OpenHold>, Failure> {
        let (mut holds, mut cursor) = (Vec::new(), 0);
        for _ in 0..PAGES_MAX {
            let query = HoldPageQuery {
                age: Duration::from_millis(age_ms),
                cursor,
                limit,
            };
            let page = self.engine.open_holds(&self.term, &query).await?;
            holds.extend(page.holds);
            let Some(next) = page.next else {
                holds.sort_by_key(|hold: &OpenHold| hold.order);
                // A page may repeat a hold that was moved while it was listed.
                holds.dedup_by_key(|hold| hold.order);
                return Ok(holds);
            };
            cursor = next;
        }
        Err(Failure(format!(
            "a listing has no end after {PAGES_MAX} pages"
        )))
    }

    pub(super) async fn hold(&self, order: OrderId) -> Result<OpenHold, Failure> {
        let holds = self.list(0, 1_000).await?;
        let found = holds.into_iter().find(|hold| hold.order == order);
        found.ok_or_else(|| Failure(format!("order {order} is not listed as an open hold")))
    }

    pub(super) async fn mark(
        &self,
        age_ms: u64,
        holds: &[HoldKey],
    ) -> Result<Vec<OpenHold>, Failure> {
        let age = Duration::from_millis(age_ms);
        Ok(self.engine.mark(&self.term, holds, age).await?)
    }
}

pub(super) fn finish_of(bought: &Reserve, kind: FinishKind) -> Finish {
    Finish {
        user: bought.user,
        order: bought.order,
        kind,
    }
}

pub(super) fn key_of(bought: &Reserve) -> HoldKey {
    HoldKey {
        user: bought.user,
        order: bought.order,
    }
}

/// The verdict without the allocation that it names, which is the engine's own business.
pub(super) fn bare(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Granted { .. } => Verdict::GRANTED,
        Verdict::Duplicate(hold) => Verdict::Duplicate(Hold {
            allocation: None,
            ..hold
        }),
        other => other,
    }
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Waits until `condition` answers something, looking again and again within a bound.
pub(super) async fn eventually<T>(
    what: &str,
    condition: impl AsyncFn() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let deadline = tokio::time::Instant::now() + CONDITION_WITHIN;
    loop {
        if let Some(answer) = condition().await? {
            return Ok(answer);
        }
        if tokio::time::Instant::now() > deadline {
            return Err(Failure(format!("not within {CONDITION_WITHIN:?}: {what}")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// An engine without locks may lose every race for a while, and says that nothing has happened
/// (`Unavailable`), so whoever asked asks again; a bounded number of times.
pub(super) async fn asked_until_answered(
    engine: &dyn StockEngine,
    term: &Term,
    items: &[Reserve],
) -> Vec<Result<Verdict, EngineError>> {
    const TIMES: usize = 5;
    let mut verdicts = engine.reserve(term, items).await;
    for _ in 1..TIMES {
        let is_undone = |verdict: &Result<Verdict, EngineError>| {
            matches!(verdict, Err(EngineError::Unavailable { .. }))
        };
        if !verdicts.iter().any(is_undone) {
            break;
        }
        for (item, verdict) in items.iter().zip(&mut verdicts) {
            if is_undone(verdict) {
                let again = engine.reserve(term, std::slice::from_ref(item)).await;
                *verdict = again.into_iter().next().unwrap_or_else(|| {
                    Err(EngineError::Config("no answer for one request".to_owned()))
                });
            }
        }
    }
    verdicts
}
