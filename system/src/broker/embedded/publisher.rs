//! Publishes order batches into the file.

use super::file::QueueFile;
use super::writer::Message;
use crate::broker::contract::{PublishOutcome, Publisher};
use crate::broker::names::MessageIds;
use crate::config::Ack;
use crate::envelope::ORDER_BATCH_TYPE;
use crate::ids::Generation;
use async_trait::async_trait;
use engines::IncarnationId;
use std::sync::Arc;

/// One publisher.
#[derive(Debug)]
pub struct EmbeddedPublisher {
    file: Arc<QueueFile>,
    queue_max_messages: u32,
    ack: Ack,
    ids: MessageIds,
}

impl EmbeddedPublisher {
    pub(super) fn new(
        file: Arc<QueueFile>,
        queue_max_messages: u32,
        ack: Ack,
        ids: MessageIds,
    ) -> Self {
        Self {
            file,
            queue_max_messages,
            ack,
            ids,
        }
    }
}

#[async_trait]
impl Publisher for EmbeddedPublisher {
    async fn publish(
        &self,
        incarnation: IncarnationId,
        generation: Generation,
        body: Vec<u8>,
    ) -> PublishOutcome {
        let message = Message {
            incarnation,
            generation,
            kind: ORDER_BATCH_TYPE,
            message_id: self.ids.next(),
            body,
            max_messages: self.queue_max_messages.into(),
        };
        let put = self.file.writer.put(message).await;
        match self.ack {
            Ack::Confirmed => put.confirmed().await,
            Ack::Published => put.handed_over(),
        }
    }

    fn is_connected(&self) -> bool {
        self.file.writer.is_writing()
    }
}
