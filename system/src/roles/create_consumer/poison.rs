//! What can never become a row, and the name under which it is parked.

use crate::broker::Delivery;
use crate::digest;
use crate::envelope::InvalidOrder;
use crate::store::Poison;
use engines::OrderId;

/// Longest message id that is taken as it is, bytes; the column holds a little more, for the
/// position of an order.
const ID_MAX: usize = 48;
/// Hex digits of a body's digest in a name.
const NAME_DIGITS: usize = 32;

/// A whole message. One whose type is a word of the system's own is parked with that in quotes.
pub fn message(delivery: &Delivery, reason: String) -> Poison {
    let kind = delivery.kind.as_deref().unwrap_or_default();
    Poison {
        message_id: name(delivery),
        order: Poison::WHOLE_MESSAGE,
        kind: match Poison::OWN_KINDS.contains(&kind) {
            true => format!("{kind:?}"),
            false => kind.to_owned(),
        },
        reason,
        body: delivery.body.clone(),
    }
}

/// The order at `position` among the invalid ones of a message.
pub fn order(delivery: &Delivery, position: usize, order: InvalidOrder) -> Poison {
    Poison {
        message_id: format!("{}#{position}", name(delivery)),
        order: OrderId(order.raw.order_id.max(0)),
        kind: Poison::ORDER.to_owned(),
        body: order.encode(),
        reason: order.reason,
    }
}

/// The message's id, or one made from its body if it has none that fits.
fn name(delivery: &Delivery) -> String {
    match &delivery.message_id {
        Some(id) if !id.is_empty() && id.len() <= ID_MAX => id.clone(),
        _ => format!("body-{}", &digest::of("", &delivery.body)[..NAME_DIGITS]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_messages_without_an_id_have_different_names_and_a_redelivery_has_the_same() {
        let named = |message_id: Option<&str>, body: &[u8]| {
            name(&Delivery {
                tag: 1,
                kind: None,
                message_id: message_id.map(str::to_owned),
                traceparent: None,
                body: body.to_vec(),
            })
        };
        let names = [b"one", b"two", b"one"].map(|body| named(None, body));
        assert_ne!(names[0], names[1]);
        assert_eq!(names[0], names[2]);
        assert_eq!(named(Some("seckill-1-2"), b"one"), "seckill-1-2");
        assert_eq!(named(Some(&"x".repeat(200)), b"one"), names[0]);
    }
}
