//! Gathers what is written together. A change that comes alone is taken at once. Of a crowd most are
//! answered together and come back together: whoever took the first of them alone would write small
//! batches, of which each costs as many statements, a commit, a call of the engine and more and
//! smaller writes to the clients than a large one.

use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until};

/// So many in this batch and the last make a crowd.
const CROWD: usize = 32;
/// A batch that began longer ago says nothing about who comes next.
const RECENT: Duration = Duration::from_millis(50);
/// Longest time that the first of a crowd waits for the others.
const GATHER_MAX: Duration = Duration::from_millis(10);
/// Nobody came for so long: nobody else comes.
const STEP: Duration = Duration::from_millis(2);

/// The batch that gathers, and what is known of the one before. It may be asked for the next batch,
/// given up, and asked again: nobody who has come is lost.
#[derive(Debug)]
pub struct Gathering<T> {
    batch: Vec<T>,
    /// Until when it waits for more.
    until: Option<Instant>,
    /// When the last batch was taken, and how many it had.
    last: Option<(Instant, usize)>,
}

impl<T> Default for Gathering<T> {
    fn default() -> Self {
        Self {
            batch: Vec::new(),
            until: None,
            last: None,
        }
    }
}

impl<T> Gathering<T> {
    /// The next batch, of `most` at most; empty when nobody can come any more. `is_answering`: others
    /// are about to be answered, and may come back.
    pub async fn next(
        &mut self,
        receiver: &mut Receiver<T>,
        most: usize,
        is_answering: bool,
    ) -> Vec<T> {
        if self.batch.is_empty() && receiver.recv_many(&mut self.batch, most).await == 0 {
            return Vec::new();
        }
        let until = *self.until.get_or_insert_with(|| {
            let now = Instant::now();
            let of_last = self.last.filter(|(taken_at, _)| now - *taken_at < RECENT);
            let is_crowd = self.batch.len() + of_last.map_or(0, |(_, count)| count) >= CROWD;
            if is_crowd { now + GATHER_MAX } else { now }
        });
        loop {
            let (now, queued) = (Instant::now(), receiver.len());
            if now >= until || self.batch.len() + queued >= most {
                break;
            }
            let step = if is_answering { GATHER_MAX } else { STEP };
            sleep_until((now + step).min(until)).await;
            if receiver.len() == queued {
                break;
            }
        }
        while self.batch.len() < most
            && let Ok(asked) = receiver.try_recv()
        {
            self.batch.push(asked);
        }
        self.until = None;
        self.last = Some((Instant::now(), self.batch.len()));
        std::mem::take(&mut self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::sync::mpsc::{self, Sender};
    use tokio::time::{sleep, timeout};

    const MOST: usize = 1_000_000;

    fn queue() -> (Sender<usize>, Receiver<usize>) {
        mpsc::channel(MOST)
    }

    fn ask(sender: &Sender<usize>, count: usize) {
        for who in 0..count {
            sender.try_send(who).expect("there is room");
        }
    }

    #[tokio::test]
    async fn whoever_comes_alone_or_with_a_few_is_taken_at_once() {
        let ((sender, mut receiver), mut gathering) = (queue(), Gathering::default());
        for count in [1, 1, CROWD / 2 - 1] {
            ask(&sender, count);
            let taken = gathering.next(&mut receiver, MOST, true).now_or_never();
            assert_eq!(taken.expect("no wait").len(), count);
        }
    }

    #[tokio::test]
    async fn a_crowd_is_waited_for_and_nobody_who_came_is_lost_when_the_wait_is_given_up() {
        let ((sender, mut receiver), mut gathering) = (queue(), Gathering::default());
        ask(&sender, CROWD);
        let waiting = gathering.next(&mut receiver, MOST, false).now_or_never();
        assert!(waiting.is_none());
        ask(&sender, 7);
        let taken = gathering.next(&mut receiver, MOST, false).await;
        assert_eq!(taken.len(), CROWD + 7);
        // The first who comes back after them is not taken alone.
        ask(&sender, 1);
        let waiting = gathering.next(&mut receiver, MOST, false).now_or_never();
        assert!(waiting.is_none());
        ask(&sender, 8);
        let taken = gathering.next(&mut receiver, MOST, true).await;
        assert_eq!(taken.len(), 9);
    }

    #[tokio::test]
    async fn a_full_batch_waits_for_nobody() {
        let ((sender, mut receiver), mut gathering) = (queue(), Gathering::default());
        ask(&sender, 2 * CROWD);
        let taken = gathering.next(&mut receiver, CROWD, true).now_or_never();
        assert_eq!(taken.expect("no wait").len(), CROWD);
    }

    #[tokio::test]
    async fn those_who_keep_coming_keep_nobody_waiting() {
        let ((sender, mut receiver), mut gathering) = (queue(), Gathering::default());
        ask(&sender, CROWD);
        let coming = async {
            loop {
                ask(&sender, 5);
                sleep(STEP / 2).await;
            }
        };
        let began = Instant::now();
        let taken = async {
            tokio::select! {
                taken = gathering.next(&mut receiver, MOST, true) => taken,
                () = coming => Vec::new(),
            }
        };
        let taken = timeout(Duration::from_secs(20), taken).await;
        assert!(taken.expect("it does not wait for ever").len() > CROWD);
        assert!(began.elapsed() >= GATHER_MAX);
    }

    #[tokio::test]
    async fn when_nobody_can_come_any_more_there_is_no_batch() {
        let ((sender, mut receiver), mut gathering) = (queue(), Gathering::default());
        ask(&sender, CROWD);
        drop(sender);
        let taken = gathering.next(&mut receiver, MOST, false).await;
        assert_eq!(taken.len(), CROWD);
        assert!(gathering.next(&mut receiver, MOST, false).await.is_empty());
    }
}
