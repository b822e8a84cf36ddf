//! One task for each queue that this consumer consumes.

use super::queue::QueueConsumer;
use crate::back_off::BackOff;
use crate::broker::Broker;
use crate::shutdown::Shutdown;
use engines::IncarnationId;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// The tasks under way, and which queues are left alone for a while because they could not be
/// consumed.
#[derive(Debug, Default)]
pub struct QueueTasks {
    under_way: HashMap<IncarnationId, QueueTask>,
    back_off: BackOff<IncarnationId>,
}

#[derive(Debug)]
struct QueueTask {
    stop: watch::Sender<bool>,
    /// Whether the queue could be consumed.
    task: JoinHandle<bool>,
}

impl QueueTasks {
    /// The queues whose tasks are under way.
    pub fn queues(&self) -> Vec<IncarnationId> {
        self.under_way.keys().copied().collect()
    }

    /// Makes the queues of `share` those that are consumed. A queue of somebody else's is given up at
    /// the end of its batch: what is written is acknowledged, and the channel closed. Until then, and
    /// until its next owner has noticed, it stays this one's at the broker
    /// (one-consumer-per-queue, R4).
    pub async fn follow(
        &mut self,
        share: &[IncarnationId],
        broker: &Arc<dyn Broker>,
        consumer: impl Fn(IncarnationId) -> QueueConsumer,
    ) {
        self.take_out_ended().await;
        self.back_off.retain(|queue| share.contains(&queue));
        for (queue, task) in &self.under_way {
            if !share.contains(queue) && !task.stop.send_replace(true) {
                tracing::info!(incarnation = queue.0, "its queue is given up");
            }
        }
        for queue in share {
            if self.under_way.contains_key(queue) || !self.back_off.is_due(*queue) {
                continue;
            }
            tracing::info!(incarnation = queue.0, "its queue is taken up");
            let (stop, stopped) = Shutdown::channel();
            let task = tokio::spawn(supervise(consumer(*queue), broker.clone(), stopped));
            self.under_way.insert(*queue, QueueTask { stop, task });
        }
    }

    /// Takes out the tasks that have ended; a queue that could not be consumed is left alone for a
    /// while.
    async fn take_out_ended(&mut self) {
        let ended = self.under_way.extract_if(|_, task| task.task.is_finished());
        for (queue, task) in ended.collect::<Vec<_>>() {
            match task.task.await {
                Ok(true) => self.back_off.succeeded(queue),
                Ok(false) | Err(_) => self.back_off.failed(queue),
            }
        }
    }

    /// Gives up all queues; a batch that is not written within `limit` is delivered again.
    pub async fn stop(self, limit: Duration) {
        for task in self.under_way.values() {
            task.stop.send_replace(true);
        }
        let deadline = Instant::now() + limit;
        for (queue, mut task) in self.under_way {
            if timeout_at(deadline, &mut task.task).await.is_err() {
                tracing::warn!(incarnation = queue.0, ?limit, "gave up a batch under way");
                task.task.abort();
            }
        }
    }
}

/// Whether the queue could be consumed.
async fn supervise(consumer: QueueConsumer, broker: Arc<dyn Broker>, stopped: Shutdown) -> bool {
    let incarnation = consumer.incarnation();
    let consuming = broker.consume(incarnation).await;
    let is_there = consuming.is_ok();
    let ended = match consuming {
        Ok(mut deliveries) => {
            let ended = consumer.run(deliveries.as_mut(), &stopped).await;
            // drain-in-one-session (R5): nothing is nack-requeued; closing gives back, in order,
            // what was not acknowledged.
            deliveries.close().await;
            ended
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::warn!(
            incarnation = incarnation.0,
            error = format!("{error:#}"),
            "queue given up; it will be taken up again"
        );
    }
    is_there
}
