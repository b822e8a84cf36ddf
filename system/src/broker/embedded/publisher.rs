//! Publishes order batches into the file.

use super::file::QueueFile;
use super::writer::Message;
use crate::broker::contract::{PublishOutcome, Publisher};
use crate::broker::names::{MessageIds, marker_id};
use crate::config::Ack;
use crate::envelope::{MARKER_TYPE, ORDER_BATCH_TYPE, encode_marker};
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
        traceparent: Option<String>,
    ) -> PublishOutcome {
        let message = Message {
            incarnation,
            generation,
            kind: ORDER_BATCH_TYPE,
            message_id: self.ids.next(),
            traceparent,
            body,
            max_messages: self.queue_max_messages.into(),
        };
        let put = self.file.writer.put(message).await;
        match self.ack {
            Ack::Confirmed => put.confirmed().await,
            Ack::Published => put.handed_over(),
        }
    }

    async fn probe(&self, incarnation: IncarnationId, generation: Generation) -> PublishOutcome {
        let nonce = rand::random();
        let message = Message {
            incarnation,
            generation,
            kind: MARKER_TYPE,
            message_id: marker_id(nonce),
            traceparent: None,
            body: encode_marker(nonce),
            max_messages: self.queue_max_messages.into(),
        };
        self.file.writer.put(message).await.confirmed().await
    }

    fn is_connected(&self) -> bool {
        self.file.writer.is_writing()
    }

    /// There is one: the writer tries by itself whether the file can be written again.
    fn connection(&self) -> u64 {
        0
    }
}
