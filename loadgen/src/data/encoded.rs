//! Elements encoded as gRPC messages, ready to be copied into a DATA frame.

use super::Element;
use crate::message::SeckillRequest;
use prost::Message;
use std::collections::HashSet;
use std::sync::Arc;

/// A gRPC message starts with a compression flag and a 4-byte length.
const PREFIX_LEN: usize = 5;

/// A data set with its messages in one block of memory.
#[derive(Debug)]
pub struct Encoded {
    elements: Arc<[Element]>,
    bytes: Vec<u8>,
    /// Message `i` is `bytes[ends[i - 1]..ends[i]]`.
    ends: Vec<u32>,
    users_repeat: bool,
}

impl Encoded {
    /// Encodes every element. At most [`super::ELEMENTS_MAX`] elements of at most 36 bytes keep
    /// offsets within 32 bits.
    pub fn new(elements: Vec<Element>) -> Self {
        let mut bytes = Vec::with_capacity(elements.len() * 16);
        let mut ends = Vec::with_capacity(elements.len());
        let mut users = HashSet::with_capacity(elements.len());
        let mut users_repeat = false;
        for element in &elements {
            let request = SeckillRequest {
                user_id: element.user_id,
                product_id: element.product_id,
                quantity: element.quantity,
            };
            bytes.push(0);
            bytes.extend_from_slice(&(request.encoded_len() as u32).to_be_bytes());
            request.encode_raw(&mut bytes);
            ends.push(
                u32::try_from(bytes.len()).expect("ELEMENTS_MAX keeps the block below 4 GiB"),
            );
            users_repeat |= !users.insert(element.user_id);
        }
        Self {
            elements: elements.into(),
            bytes,
            ends,
            users_repeat,
        }
    }

    pub fn len(&self) -> usize {
        self.elements.len()
    }

    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub fn element(&self, index: usize) -> &Element {
        &self.elements[index]
    }

    /// The message of an element, with its gRPC prefix.
    pub fn message(&self, index: usize) -> &[u8] {
        let start = if index == 0 {
            0
        } else {
            self.ends[index - 1] as usize
        };
        &self.bytes[start..self.ends[index] as usize]
    }

    /// All elements, for whoever needs no messages.
    pub fn elements(&self) -> Arc<[Element]> {
        Arc::clone(&self.elements)
    }

    /// Whether some user has more than one element.
    pub fn users_repeat(&self) -> bool {
        self.users_repeat
    }
}

/// Writes one message with its gRPC prefix, in place of what was there.
pub(crate) fn write_message(into: &mut Vec<u8>, message: &impl Message) {
    into.clear();
    into.push(0);
    into.extend_from_slice(&(message.encoded_len() as u32).to_be_bytes());
    message.encode_raw(into);
}

/// The message behind a gRPC prefix, if the prefix is that of exactly this one uncompressed
/// message.
pub(crate) fn strip_prefix(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_at_checked(PREFIX_LEN)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    (prefix[0] == 0 && length == message.len()).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_the_protobuf_of_its_element_behind_a_grpc_prefix() {
        let elements: Vec<Element> = (1..=300)
            .map(|n| Element {
                user_id: n * 1_000,
                product_id: n,
                quantity: 2,
            })
            .collect();
        let encoded = Encoded::new(elements);
        for index in 0..encoded.len() {
            let message = strip_prefix(encoded.message(index)).expect("prefix");
            let request = SeckillRequest::decode(message).expect("protobuf");
            let element = encoded.element(index);
            assert_eq!(
                (request.user_id, request.product_id, request.quantity),
                (element.user_id, element.product_id, 2)
            );
        }
        assert!(!encoded.users_repeat());
    }

    #[test]
    fn a_wrong_length_or_a_compressed_message_is_no_message() {
        assert_eq!(strip_prefix(&[0, 0, 0, 0, 1, 8]), Some(&[8][..]));
        assert_eq!(strip_prefix(&[1, 0, 0, 0, 1, 8]), None);
        assert_eq!(strip_prefix(&[0, 0, 0, 0, 2, 8]), None);
        assert_eq!(strip_prefix(&[0, 0, 0]), None);
    }
}
