//! Publishes order batches into the file.

use super::writer::Message;
use super::{Broker, MessageIds, PublishOutcome};
use crate::config::Ack;
use crate::envelope::ORDER_BATCH_TYPE;

/// One publisher; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    broker: Broker,
    ack: Ack,
    ids: MessageIds,
}

impl Publisher {
    /// Publishes through `broker`.
    pub fn new(broker: Broker, ack: Ack, name: &str) -> Self {
        Self {
            broker,
            ack,
            ids: MessageIds::new(name),
        }
    }

    pub async fn publish(
        &self,
        incarnation: i64,
        generation: i64,
        body: Vec<u8>,
    ) -> PublishOutcome {
        let message = Message {
            incarnation,
            generation,
            kind: ORDER_BATCH_TYPE,
            message_id: self.ids.next(),
            body,
            max_messages: self.broker.config.queue_max_messages.into(),
        };
        let put = self.broker.shared.writer.put(message).await;
        match self.ack {
            Ack::Confirmed => put.confirmed().await,
            Ack::Published => put.handed_over(),
        }
    }

    pub fn is_connected(&self) -> bool {
        self.broker.shared.writer.is_writing()
    }
}
