//! Writes cancels and payments together: while a batch is being written the next one gathers.
//! After the commit the units of what was cancelled are given back at once, before its buyer is
//! answered, so that they can buy again; what cannot be given back now stands in the outbox.

mod gathering;
mod marking;
mod places;

use crate::repair::releases;
use crate::store::{OrderChange, OrderChanged, OrderState, Release, Store};
use crate::terms::Terms;
use engines::{OrderId, StockEngine};
use gathering::Gathering;
use marking::Marker;
use places::{Full, Place, Places};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// Batches under way at the same time: one at the database, one at the engine, and one of those whose
/// rows are not there, which keeps nobody else waiting.
const BATCHES_MAX: usize = 3;
/// For so long a batch has the database to itself. Two at once would wait for the same allocation,
/// and the fewer there are, the larger they get; one that stands still keeps nobody else waiting.
const TURN_MAX: Duration = Duration::from_millis(100);
/// How often the row of an order is looked for that is not there yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);
/// Longest time that an answer waits for the engine.
const RELEASE_MAX: Duration = Duration::from_millis(100);

/// What became of a change, for whoever asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The order is in a state in which it cannot be.
    Is(OrderState),
    /// There is no such order of theirs.
    NotFound,
    /// Its row may come, and has not in time.
    NoRowYet,
    /// As many as may are waiting.
    Crowded,
    /// As many of this user as may are waiting.
    UserCrowded,
    /// The database cannot be asked; nothing was done.
    Away,
    /// Nobody knows; asking again says what happened.
    Unknown,
}

/// Takes changes; cheap to clone. The work ends when the last clone is gone and everything is
/// answered.
#[derive(Clone, Debug)]
pub struct Changer {
    sender: mpsc::Sender<Asked>,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Asked {
    change: OrderChange,
    /// Until when its row is waited for.
    until: Instant,
    /// Nobody can write the row any more: if it is not there now, it never will be.
    is_last_look: bool,
    /// It was not there when it was looked for, and may come.
    may_come: bool,
    reply: oneshot::Sender<Answer>,
    /// Held until it is answered.
    _place: Place,
}

/// What the changes are made with.
#[derive(Clone, Debug)]
pub struct Means {
    pub store: Store,
    pub terms: Terms,
    /// `None`: releases are the business of whoever owns the buyers.
    pub engine: Option<Arc<dyn StockEngine>>,
    pub copies: bool,
    pub batch_max: usize,
}

impl Changer {
    /// Starts on the current runtime. No more than `pending_max` are asked for and not answered at
    /// the same time, wherever they are: queued, at the database, or waiting for their rows.
    pub fn start(means: Means, pending_max: usize) -> (Self, impl Future<Output = ()> + Send) {
        let (this, receiver) = Self::of(pending_max);
        (this, run(means, receiver))
    }

    fn of(pending_max: usize) -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(pending_max);
        let places = Places::new(pending_max);
        (Self { sender, places }, receiver)
    }

    /// Asks for one change and waits for its answer: as long as the row of its order may be waited
    /// for, and as long as the database takes.
    pub async fn ask(&self, change: OrderChange, row_wait: Duration) -> Answer {
        let place = match self.places.take(change.by) {
            Ok(place) => place,
            Err(Full::Everybodys) => return Answer::Crowded,
            Err(Full::Theirs) => return Answer::UserCrowded,
        };
        let (reply, answer) = oneshot::channel();
        let asked = Asked {
            change,
            until: Instant::now() + row_wait,
            is_last_look: false,
            may_come: false,
            reply,
            _place: place,
        };
        match self.sender.try_send(asked) {
            Ok(()) => answer.await.unwrap_or(Answer::Unknown),
            Err(_) => Answer::Crowded,
        }
    }
}

async fn run(means: Means, mut receiver: mpsc::Receiver<Asked>) {
    let (marker, marking) = Marker::start(means.store.clone());
    let marking = tokio::spawn(marking);
    let turns = Arc::new(Semaphore::new(1));
    let mut turn = None;
    let mut under_way: JoinSet<Vec<Asked>> = JoinSet::new();
    // Those whose rows are not there, and when they are looked for again.
    let mut waiting: Vec<Asked> = Vec::new();
    let mut look_at = Instant::now();
    let mut is_open = true;
    let mut gathering = Gathering::default();
    while is_open || !under_way.is_empty() || !waiting.is_empty() {
        let has_room = under_way.len() < BATCHES_MAX;
        let may_look = under_way.len() + 1 < BATCHES_MAX && !waiting.is_empty();
        let is_answering = !under_way.is_empty();
        let (mut batch, mut its_turn) = (Vec::new(), None);
        tokio::select! {
            next = turns.clone().acquire_owned(), if is_open && turn.is_none() => turn = next.ok(),
            gathered = gathering.next(&mut receiver, means.batch_max, is_answering),
                if is_open && has_room && turn.is_some() =>
            {
                is_open = !gathered.is_empty();
                batch = gathered;
                its_turn = turn.take();
            }
            Some(without_row) = under_way.join_next(), if !under_way.is_empty() => {
                if waiting.is_empty() {
                    look_at = Instant::now() + LOOK_INTERVAL;
                }
                waiting.extend(without_row.unwrap_or_default());
            }
            () = sleep_until(look_at), if may_look => {
                look_at = Instant::now() + LOOK_INTERVAL;
                let rest = waiting.split_off(waiting.len().min(means.batch_max));
                batch = std::mem::replace(&mut waiting, rest);
            }
        }
        if !batch.is_empty() {
            under_way.spawn(change(means.clone(), marker.clone(), its_turn, batch));
        }
    }
    drop(marker);
    let _ = marking.await;
}

/// Answers what can be answered; returns the others, whose rows are not there yet.
async fn change(
    means: Means,
    marker: Marker,
    turn: Option<OwnedSemaphorePermit>,
    mut batch: Vec<Asked>,
) -> Vec<Asked> {
    batch.retain(|asked| !asked.reply.is_closed());
    let changes: Vec<OrderChange> = batch.iter().map(|asked| asked.change).collect();
    let changing = means.store.change_orders(&changes, means.copies);
    let changed = match in_turn(turn, changing).await {
        Ok(changed) => changed,
        Err(error) => {
            tracing::warn!(%error, count = changes.len(), "orders cannot be looked at");
            for asked in batch {
                let _ = asked.reply.send(Answer::Away);
            }
            return Vec::new();
        }
    };
    for (sale, error) in &changed.failed {
        tracing::warn!(%sale, %error, "orders of this sale could not be changed");
    }
    let (mut without_row, mut cancelled, mut released) = (Vec::new(), Vec::new(), Vec::new());
    for (asked, changed) in batch.into_iter().zip(changed.answers) {
        let answer = match changed {
            OrderChanged::Done(None) => Answer::Done,
            OrderChanged::Done(Some(release)) => {
                released.push(release);
                cancelled.push(asked);
                continue;
            }
            OrderChanged::Is(state) => Answer::Is(state),
            OrderChanged::NotFound => Answer::NotFound,
            OrderChanged::Unknown => Answer::Unknown,
            OrderChanged::NoRow => {
                without_row.push(asked);
                continue;
            }
        };
        let _ = asked.reply.send(answer);
    }
    let done = give_back(&means, released).await;
    for asked in cancelled {
        let _ = asked.reply.send(Answer::Done);
    }
    marker.mark(done).await;
    wait_or_answer(&means, without_row).await
}

/// The turn is over when this is done, or after [`TURN_MAX`].
async fn in_turn<T>(turn: Option<OwnedSemaphorePermit>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match timeout(TURN_MAX, work.as_mut()).await {
        Ok(done) => done,
        Err(_) => {
            drop(turn);
            work.await
        }
    }
}

/// What the engine has taken in time.
async fn give_back(means: &Means, released: Vec<Release>) -> Vec<Release> {
    let Some(engine) = &means.engine else {
        return Vec::new();
    };
    let (until, mut done) = (Instant::now() + RELEASE_MAX, Vec::new());
    for (sale, releases) in releases::by_sale(released) {
        let Some(open) = means.terms.sale(sale).and_then(|row| row.open) else {
            continue;
        };
        let executing = releases::execute(engine.as_ref(), &open.term, &releases);
        match timeout_at(until, executing).await {
            Ok(executed) => done.extend(executed),
            Err(_) => tracing::debug!(%sale, "the engine is slow; the rest is left to the outbox"),
        }
    }
    done
}

/// Answers those whose rows cannot come any more, or have not in time.
async fn wait_or_answer(means: &Means, without_row: Vec<Asked>) -> Vec<Asked> {
    let (mut waiting, mut unknown) = (Vec::with_capacity(without_row.len()), Vec::new());
    for asked in without_row {
        if asked.is_last_look {
            let _ = asked.reply.send(Answer::NotFound);
        } else if !asked.may_come {
            unknown.push(asked);
        } else if Instant::now() >= asked.until {
            let _ = asked.reply.send(Answer::NoRowYet);
        } else {
            waiting.push(asked);
        }
    }
    let orders: Vec<OrderId> = unknown.iter().map(|asked| asked.change.order).collect();
    match means.store.may_come(&orders).await {
        Ok(may_come) => waiting.extend(unknown.into_iter().map(|mut asked| {
            asked.may_come = may_come.contains(&asked.change.order);
            // It may have come between the look at the row and the look at who could write it.
            asked.is_last_look = !asked.may_come;
            asked
        })),
        Err(error) => {
            let count = orders.len();
            tracing::warn!(%error, count, "nobody knows whose rows may come");
            for asked in unknown {
                let _ = asked.reply.send(Answer::Away);
            }
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Shutdown;
    use crate::store::OrderWish;
    use crate::store::tests::{migrated, on_both};
    use engines::UserId;

    on_both!(a_database_that_cannot_be_asked_is_away_at_the_first_look_and_at_the_second);

    /// Nothing was done, and whoever asked is told so, whichever look the database refuses.
    async fn a_database_that_cannot_be_asked_is_away_at_the_first_look_and_at_the_second(
        url: String,
    ) {
        let store = migrated(&url).await;
        let (_keep_alive, until_stopped) = Shutdown::channel();
        let means = Means {
            store: store.clone(),
            terms: Terms::start(store.clone(), Default::default(), until_stopped)
                .await
                .unwrap(),
            engine: None,
            copies: false,
            batch_max: 10,
        };
        let (changer, changing) = Changer::start(means, 10);
        let changing = tokio::spawn(changing);
        let cancel = OrderChange {
            order: OrderId(7),
            by: Some(UserId(1)),
            wish: OrderWish::Cancel,
        };
        let row_wait = Duration::from_millis(100);
        assert_eq!(changer.ask(cancel, row_wait).await, Answer::NotFound);
        for table in ["orders", "incarnations"] {
            let rename = async |from, to| {
                store
                    .change(&format!("ALTER TABLE {from} RENAME TO {to}"))
                    .await;
            };
            rename(table, "elsewhere").await;
            let answer = changer.ask(cancel, row_wait).await;
            assert_eq!(answer, Answer::Away, "without {table}");
            rename("elsewhere", table).await;
            let answer = changer.ask(cancel, row_wait).await;
            assert_eq!(answer, Answer::NotFound, "with {table} again");
        }
        drop(changer);
        changing.await.unwrap();
    }
}
