//! What travels through the broker: order batches and markers, encoded, decoded and validated in
//! one place.

use crate::proto::events;
use prost::Message;

/// AMQP `type` property of an order batch.
pub const ORDER_BATCH_TYPE: &str = "order.batch.v1";
/// AMQP `type` property of a marker.
pub const MARKER_TYPE: &str = "marker.v1";
/// Most orders one message may carry; a larger one is poison.
pub const MAX_ORDERS_PER_MESSAGE: usize = 5_000;

/// One order on its way to becoming a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// Its id.
    pub order_id: i64,
    /// The buyer.
    pub user_id: i64,
    /// The product on offer.
    pub product_id: i64,
    /// Units, at least 1.
    pub quantity: i32,
    /// Price of all units, cents.
    pub total_price_cents: i64,
    /// The allocation it was sold from.
    pub allocation_id: i64,
    /// Unix ms at which it was minted.
    pub created_at_ms: i64,
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Orders, and those of them that are not valid with the reason.
    Orders {
        /// Who published them.
        incarnation: i64,
        /// The valid ones, in the order they were published.
        valid: Vec<OrderEvent>,
        /// The others.
        invalid: Vec<(OrderEvent, String)>,
    },
    /// A marker.
    Marker {
        /// Its nonce.
        nonce: u64,
    },
}

/// Body of an order batch.
pub fn encode_orders(incarnation: i64, generation: i64, orders: &[OrderEvent]) -> Vec<u8> {
    let orders = orders.iter().map(|order| events::OrderCreated {
        order_id: order.order_id,
        user_id: order.user_id,
        product_id: order.product_id,
        quantity: order.quantity,
        total_price_cents: order.total_price_cents,
        allocation_id: order.allocation_id,
        created_at_ms: order.created_at_ms,
    });
    events::OrderBatch {
        incarnation,
        generation,
        orders: orders.collect(),
    }
    .encode_to_vec()
}

/// Body of a marker.
pub fn encode_marker(nonce: u64) -> Vec<u8> {
    events::Marker { nonce }.encode_to_vec()
}

/// Reads a message; an error is the reason why the whole message is poison.
pub fn decode(kind: Option<&str>, body: &[u8]) -> Result<Envelope, String> {
    match kind {
        Some(ORDER_BATCH_TYPE) => decode_orders(body),
        Some(MARKER_TYPE) => {
            let marker = events::Marker::decode(body)
                .map_err(|error| format!("undecodable marker: {error}"))?;
            Ok(Envelope::Marker {
                nonce: marker.nonce,
            })
        }
        Some(other) => Err(format!(
            "unknown message type {other:?}; known: {ORDER_BATCH_TYPE}, {MARKER_TYPE}"
        )),
        None => Err("message has no type".to_owned()),
    }
}

fn decode_orders(body: &[u8]) -> Result<Envelope, String> {
    let batch = events::OrderBatch::decode(body)
        .map_err(|error| format!("undecodable order batch: {error}"))?;
    if batch.orders.is_empty() || batch.orders.len() > MAX_ORDERS_PER_MESSAGE {
        return Err(format!(
            "order batch of {} orders; allowed are 1 to {MAX_ORDERS_PER_MESSAGE}",
            batch.orders.len()
        ));
    }
    let mut valid = Vec::with_capacity(batch.orders.len());
    let mut invalid = Vec::new();
    for order in batch.orders {
        let event = OrderEvent {
            order_id: order.order_id,
            user_id: order.user_id,
            product_id: order.product_id,
            quantity: order.quantity,
            total_price_cents: order.total_price_cents,
            allocation_id: order.allocation_id,
            created_at_ms: order.created_at_ms,
        };
        match fault(&event) {
            None => valid.push(event),
            Some(reason) => invalid.push((event, reason)),
        }
    }
    Ok(Envelope::Orders {
        incarnation: batch.incarnation,
        valid,
        invalid,
    })
}

fn fault(event: &OrderEvent) -> Option<String> {
    let positive = [
        ("order_id", event.order_id),
        ("user_id", event.user_id),
        ("product_id", event.product_id),
        ("quantity", i64::from(event.quantity)),
        ("allocation_id", event.allocation_id),
        ("created_at_ms", event.created_at_ms),
    ];
    if let Some((name, value)) = positive.into_iter().find(|(_, value)| *value <= 0) {
        return Some(format!("{name} must be positive, got {value}"));
    }
    (event.total_price_cents < 0).then(|| {
        format!(
            "total_price_cents must not be negative, got {}",
            event.total_price_cents
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> OrderEvent {
        OrderEvent {
            order_id: 11,
            user_id: 22,
            product_id: 1,
            quantity: 2,
            total_price_cents: 19_800,
            allocation_id: 5,
            created_at_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn a_batch_survives_the_wire() {
        let body = encode_orders(3, 9, &[event()]);
        let expected = Envelope::Orders {
            incarnation: 3,
            valid: vec![event()],
            invalid: vec![],
        };
        assert_eq!(decode(Some(ORDER_BATCH_TYPE), &body), Ok(expected));
        assert_eq!(
            decode(Some(MARKER_TYPE), &encode_marker(u64::MAX)),
            Ok(Envelope::Marker { nonce: u64::MAX })
        );
    }

    #[test]
    fn one_bad_order_does_not_spoil_its_batch() {
        let bad = OrderEvent {
            quantity: 0,
            ..event()
        };
        let body = encode_orders(3, 9, &[event(), bad]);
        let Ok(Envelope::Orders { valid, invalid, .. }) = decode(Some(ORDER_BATCH_TYPE), &body)
        else {
            panic!("orders")
        };
        assert_eq!(valid, [event()]);
        assert_eq!(
            invalid,
            [(bad, "quantity must be positive, got 0".to_owned())]
        );
    }

    #[test]
    fn poison_is_named() {
        assert!(decode(None, &[]).is_err_and(|reason| reason.contains("no type")));
        assert!(
            decode(Some("order.batch.v9"), &[])
                .is_err_and(|reason| reason.contains("order.batch.v9"))
        );
        assert!(
            decode(Some(ORDER_BATCH_TYPE), &[0xff; 7])
                .is_err_and(|reason| reason.contains("undecodable"))
        );
        assert!(
            decode(Some(ORDER_BATCH_TYPE), &[]).is_err_and(|reason| reason.contains("0 orders"))
        );
    }
}
