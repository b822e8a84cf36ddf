//! Buyers who ask about a sale that the engine has forgotten, or is about to forget: "do I have an
//! order?" is answered from the rows, in batches and within a bound on look-ups per second.

use super::replies::{Fault, Reason, Refusal, Reply};
use crate::config::SeckillConfig;
use crate::store::{PastSale, Store};
use engines::{SaleId, UserId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Most buyers looked up in one go.
const BATCH_MAX: usize = 256;

type Answer = Result<Reply, Fault>;

/// The way to whoever looks buyers up; one for all serving threads.
#[derive(Debug)]
pub struct PastSales {
    sender: mpsc::Sender<Question>,
    allowance: Mutex<Allowance>,
    patience: Duration,
    /// Closed when nobody looks up any more.
    looking: watch::Receiver<()>,
}

#[derive(Debug)]
struct Question {
    sale: SaleId,
    user: UserId,
    reply: oneshot::Sender<Answer>,
}

/// Look-ups that are still allowed: it fills up evenly, to at most those of one second.
#[derive(Debug)]
struct Allowance {
    per_s: f64,
    left: f64,
    filled_at: Instant,
}

impl Allowance {
    fn new(per_s: u32, now: Instant) -> Self {
        let per_s = f64::from(per_s);
        Self {
            per_s,
            left: per_s,
            filled_at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let more = now.duration_since(self.filled_at).as_secs_f64() * self.per_s;
        (self.left, self.filled_at) = ((self.left + more).min(self.per_s), now);
        let is_allowed = self.left >= 1.0;
        if is_allowed {
            self.left -= 1.0;
        }
        is_allowed
    }
}

impl PastSales {
    /// Starts looking up on the current runtime; it ends with this object.
    pub fn start(store: Store, config: &SeckillConfig) -> Self {
        let per_s = config.look_ups_per_s;
        let (sender, receiver) = mpsc::channel(per_s as usize);
        let (ended, looking) = watch::channel(());
        tokio::spawn(async move {
            let _ended = ended;
            look_up(store, receiver).await;
        });
        Self {
            sender,
            looking,
            allowance: Mutex::new(Allowance::new(per_s, Instant::now())),
            patience: Duration::from_millis(config.publish_timeout_ms),
        }
    }

    /// Waits until nobody looks up any more.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut looking = self.looking.clone();
        async move { while looking.changed().await.is_ok() {} }
    }

    fn is_allowed(&self) -> bool {
        let allowance = self.allowance.lock();
        let mut allowance = allowance.unwrap_or_else(PoisonError::into_inner);
        allowance.take(Instant::now())
    }

    /// What the rows say of `user`. A buyer without an order hears that the sale has ended only
    /// once that is so; until then they are to come back later.
    ///
    /// # Errors
    /// When there is no such sale.
    pub async fn ask(&self, sale: SaleId, user: UserId) -> Answer {
        let (reply, answer) = oneshot::channel();
        let question = Question { sale, user, reply };
        if !self.is_allowed() || self.sender.try_send(question).is_err() {
            return Ok(Reply::Unavailable(Reason::Crowded));
        }
        match tokio::time::timeout(self.patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Ok(Reply::Unavailable(Reason::OrdersAway)),
            Err(_) => Ok(Reply::Unavailable(Reason::TooLate)),
        }
    }
}

async fn look_up(store: Store, mut receiver: mpsc::Receiver<Question>) {
    let mut questions = Vec::with_capacity(BATCH_MAX);
    while receiver.recv_many(&mut questions, BATCH_MAX).await > 0 {
        let mut by_sale: HashMap<SaleId, Vec<Question>> = HashMap::new();
        for question in questions.drain(..) {
            if !question.reply.is_closed() {
                by_sale.entry(question.sale).or_default().push(question);
            }
        }
        for (sale, asked) in by_sale {
            let users: Vec<UserId> = asked.iter().map(|question| question.user).collect();
            let past = match store.past_sale(sale, &users).await {
                Ok(past) => past,
                Err(error) => {
                    // Whoever asks is told so by the channel that is dropped.
                    tracing::warn!(%error, "cannot look up who has an order in an ended sale");
                    continue;
                }
            };
            for question in asked {
                let answer = judge(past.as_ref(), question.sale, question.user);
                let _ = question.reply.send(answer);
            }
        }
    }
}

fn judge(past: Option<&PastSale>, sale: SaleId, user: UserId) -> Answer {
    let past = past.ok_or(Fault::Sale(sale))?;
    Ok(match past.orders.get(&user) {
        Some(order) => Reply::Accepted(*order),
        None if past.is_deleted => return Err(Fault::Sale(sale)),
        None if past.has_ended => Reply::Refused(Refusal::Ended),
        None if past.is_ending => Reply::Unavailable(Reason::SaleEnding),
        None => Reply::Unavailable(Reason::SaleOpening),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use engines::OrderId;

    #[test]
    fn look_ups_are_bounded_per_second_and_the_allowance_fills_up_again() {
        let start = Instant::now();
        let mut allowance = Allowance::new(100, start);
        let taken =
            |allowance: &mut Allowance, now| (0..1_000).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(&mut allowance, start), 100);
        let half_a_second = start + Duration::from_millis(500);
        assert_eq!(taken(&mut allowance, half_a_second), 50);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!(taken(&mut allowance, much_later), 100);
    }

    #[test]
    fn nobody_is_told_that_a_sale_has_ended_while_rows_may_still_come() {
        let (sale, with, without) = (SaleId(1), UserId(1), UserId(2));
        let mut past = PastSale {
            is_ending: true,
            ..PastSale::default()
        };
        past.orders.insert(with, OrderId(7));
        let told = |past: &PastSale, user| judge(Some(past), sale, user);
        assert_eq!(told(&past, with), Ok(Reply::Accepted(OrderId(7))));
        let not_yet = Reply::Unavailable(Reason::SaleEnding);
        assert_eq!(told(&past, without), Ok(not_yet));
        past.has_ended = true;
        assert_eq!(told(&past, with), Ok(Reply::Accepted(OrderId(7))));
        assert_eq!(told(&past, without), Ok(Reply::Refused(Refusal::Ended)));
        assert_eq!(judge(None, sale, with), Err(Fault::Sale(sale)));
        past.is_deleted = true;
        assert_eq!(told(&past, with), Ok(Reply::Accepted(OrderId(7))));
        assert_eq!(told(&past, without), Err(Fault::Sale(sale)));
    }
}
