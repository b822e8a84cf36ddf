//! What can never become a row, and the name under which it is parked.

use crate::envelope::InvalidOrder;
use crate::store::Poison;
use engines::OrderId;

/// Longest message id that is taken as it is, bytes; the column holds a little more, for the
/// position of an order.
const ID_MAX: usize = 48;

/// A whole message.
pub fn message(message_id: Option<&str>, body: Vec<u8>, reason: String) -> Poison {
    Poison {
        message_id: name(message_id, &body),
        order: OrderId(0),
        reason,
        body,
    }
}

/// The order at `position` among the invalid ones of a message.
pub fn order(
    message_id: Option<&str>,
    message: &[u8],
    position: usize,
    order: InvalidOrder,
) -> Poison {
    Poison {
        message_id: format!("{}#{position}", name(message_id, message)),
        order: OrderId(order.raw.order_id.max(0)),
        reason: order.reason,
        body: format!("{:?}", order.raw).into_bytes(),
    }
}

/// The message's id, or one made from its body if it has none that fits.
fn name(message_id: Option<&str>, body: &[u8]) -> String {
    match message_id {
        Some(id) if !id.is_empty() && id.len() <= ID_MAX => id.to_owned(),
        _ => format!("body-{:016x}", fnv1a(body)),
    }
}

/// 64-bit FNV-1a (Fowler, Noll, Vo): the same in every version, unlike the standard library's hash.
fn fnv1a(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_messages_without_an_id_have_different_names_and_a_redelivery_has_the_same() {
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        let names: Vec<_> = [&b"one"[..], b"two", b"one"]
            .iter()
            .map(|body| name(None, body))
            .collect();
        assert_ne!(names[0], names[1]);
        assert_eq!(names[0], names[2]);
        assert_eq!(name(Some("seckill-1-2"), b"one"), "seckill-1-2");
        assert_eq!(name(Some(&"x".repeat(200)), b"one"), names[0]);
    }
}
