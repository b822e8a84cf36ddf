//! What travels through the broker: order batches and markers, encoded, decoded and validated in
//! one place.

use crate::ids::Generation;
use crate::proto::events;
use engines::{AllocationId, IncarnationId, OrderId, SaleId, UserId};
use prost::Message;

/// AMQP `type` property of an order batch.
pub const ORDER_BATCH_TYPE: &str = "order.batch.v1";
/// AMQP `type` property of a marker.
pub const MARKER_TYPE: &str = "marker.v1";
/// Most orders one message may carry; a larger one is poison.
pub const MAX_ORDERS_PER_MESSAGE: usize = 5_000;

/// One order on its way to becoming a row. Its ids and its time are greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderEvent {
    /// Its id.
    pub order: OrderId,
    /// The buyer.
    pub user: UserId,
    /// The sale of the product on offer.
    pub sale: SaleId,
    /// Units, at least 1.
    pub quantity: u32,
    /// Price of all units, cents; not negative.
    pub total_price_cents: i64,
    /// The allocation it was sold from.
    pub allocation: AllocationId,
    /// Unix ms at which it was minted.
    pub created_at_ms: i64,
}

/// An order that cannot become a row.
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidOrder {
    /// As it came, whatever its values are.
    pub raw: events::OrderCreated,
    /// What is wrong with it.
    pub reason: String,
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Envelope {
    /// Orders, and those of them that are not valid with the reason.
    Orders {
        /// Who published them.
        incarnation: IncarnationId,
        /// The valid ones, in the order they were published.
        valid: Vec<OrderEvent>,
        /// The others.
        invalid: Vec<InvalidOrder>,
    },
    /// A marker.
    Marker {
        /// Its nonce.
        nonce: u64,
    },
}

/// Body of an order batch.
pub fn encode_orders(
    incarnation: IncarnationId,
    generation: Generation,
    orders: &[OrderEvent],
) -> Vec<u8> {
    events::OrderBatch {
        incarnation: incarnation.0,
        generation: generation.0,
        orders: orders.iter().copied().map(OrderEvent::to_wire).collect(),
    }
    .encode_to_vec()
}

/// One order by itself, as it is in an order batch.
pub fn encode_order(order: OrderEvent) -> Vec<u8> {
    order.to_wire().encode_to_vec()
}

impl InvalidOrder {
    /// As it came.
    pub fn encode(&self) -> Vec<u8> {
        self.raw.encode_to_vec()
    }
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

/// Reads one order by itself, as [`encode_order`] and [`InvalidOrder::encode`] write it; an error is
/// the reason why it is none.
pub fn decode_order(body: &[u8]) -> Result<OrderEvent, String> {
    let raw = events::OrderCreated::decode(body)
        .map_err(|error| format!("undecodable order: {error}"))?;
    OrderEvent::from_wire(&raw)
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
    for raw in batch.orders {
        match OrderEvent::from_wire(&raw) {
            Ok(order) => valid.push(order),
            Err(reason) => invalid.push(InvalidOrder { raw, reason }),
        }
    }
    Ok(Envelope::Orders {
        incarnation: IncarnationId(batch.incarnation),
        valid,
        invalid,
    })
}

impl OrderEvent {
    fn to_wire(self) -> events::OrderCreated {
        events::OrderCreated {
            order_id: self.order.0,
            user_id: self.user.0,
            product_id: self.sale.0,
            // A configured bound keeps quantities far below.
            quantity: i32::try_from(self.quantity).unwrap_or(i32::MAX),
            total_price_cents: self.total_price_cents,
            allocation_id: self.allocation.0,
            created_at_ms: self.created_at_ms,
        }
    }

    /// An error is the reason why this is not an order.
    fn from_wire(raw: &events::OrderCreated) -> Result<Self, String> {
        let positive = [
            ("order_id", raw.order_id),
            ("user_id", raw.user_id),
            ("product_id", raw.product_id),
            ("quantity", i64::from(raw.quantity)),
            ("allocation_id", raw.allocation_id),
            ("created_at_ms", raw.created_at_ms),
        ];
        if let Some((name, value)) = positive.into_iter().find(|(_, value)| *value <= 0) {
            return Err(format!("{name} must be positive, got {value}"));
        }
        if raw.total_price_cents < 0 {
            return Err(format!(
                "total_price_cents must not be negative, got {}",
                raw.total_price_cents
            ));
        }
        Ok(Self {
            order: OrderId(raw.order_id),
            user: UserId(raw.user_id),
            sale: SaleId(raw.product_id),
            quantity: raw.quantity.unsigned_abs(),
            total_price_cents: raw.total_price_cents,
            allocation: AllocationId(raw.allocation_id),
            created_at_ms: raw.created_at_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHER: IncarnationId = IncarnationId(3);

    fn event() -> OrderEvent {
        OrderEvent {
            order: OrderId(11),
            user: UserId(22),
            sale: SaleId(1),
            quantity: 2,
            total_price_cents: 19_800,
            allocation: AllocationId(5),
            created_at_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn a_batch_survives_the_wire() {
        let body = encode_orders(PUBLISHER, Generation(9), &[event()]);
        let expected = Envelope::Orders {
            incarnation: PUBLISHER,
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
    fn one_bad_order_does_not_spoil_its_batch_and_keeps_the_values_it_came_with() {
        let good = event().to_wire();
        for (bad, reason) in [
            (
                events::OrderCreated {
                    quantity: 0,
                    ..good
                },
                "quantity must be positive, got 0",
            ),
            (
                events::OrderCreated {
                    quantity: i32::MIN,
                    ..good
                },
                "quantity must be positive, got -2147483648",
            ),
            (
                events::OrderCreated {
                    order_id: -1,
                    ..good
                },
                "order_id must be positive, got -1",
            ),
            (
                events::OrderCreated {
                    total_price_cents: -5,
                    ..good
                },
                "total_price_cents must not be negative, got -5",
            ),
        ] {
            let body = events::OrderBatch {
                incarnation: PUBLISHER.0,
                generation: 9,
                orders: vec![good, bad],
            }
            .encode_to_vec();
            let expected = Envelope::Orders {
                incarnation: PUBLISHER,
                valid: vec![event()],
                invalid: vec![InvalidOrder {
                    raw: bad,
                    reason: reason.to_owned(),
                }],
            };
            assert_eq!(decode(Some(ORDER_BATCH_TYPE), &body), Ok(expected));
        }
    }

    /// The release before publishes while this one already consumes, and the other way round.
    #[test]
    fn a_batch_and_a_marker_that_the_first_release_wrote_are_read_as_ever() {
        // Written down, not encoded: these bytes lie in queues, whatever the code becomes.
        let order = "080b10161801200228d89a0130053880a0f1c2b134";
        let batch = format!("080310091a{:02x}{order}", order.len() / 2);
        assert_eq!(
            batch,
            hex(&encode_orders(PUBLISHER, Generation(9), &[event()]))
        );
        let expected = Envelope::Orders {
            incarnation: PUBLISHER,
            valid: vec![event()],
            invalid: vec![],
        };
        assert_eq!(decode(Some("order.batch.v1"), &bytes(&batch)), Ok(expected));
        let marker = Ok(Envelope::Marker { nonce: 300 });
        assert_eq!(decode(Some("marker.v1"), &bytes("08ac02")), marker);
    }

    #[test]
    fn fields_of_a_later_release_are_passed_over_wherever_they_stand() {
        // Field 100: a number, then bytes, then a message with a field of its own.
        for added in ["a00601", "a20602abcd", "a206020801"] {
            let order = [event().to_wire().encode_to_vec(), bytes(added)].concat();
            let mut batch = events::OrderBatch {
                incarnation: PUBLISHER.0,
                generation: 9,
                orders: vec![],
            }
            .encode_to_vec();
            // Field 3 of the batch, and its length in one byte.
            batch.extend([0x1a, u8::try_from(order.len()).expect("short")]);
            batch.extend(&order);
            batch.extend(bytes(added));
            let expected = Envelope::Orders {
                incarnation: PUBLISHER,
                valid: vec![event()],
                invalid: vec![],
            };
            assert_eq!(
                decode(Some(ORDER_BATCH_TYPE), &batch),
                Ok(expected),
                "{added}"
            );
            assert_eq!(decode_order(&order), Ok(event()), "{added}");
            let marker = [encode_marker(7), bytes(added)].concat();
            let expected = Ok(Envelope::Marker { nonce: 7 });
            assert_eq!(decode(Some(MARKER_TYPE), &marker), expected, "{added}");
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|pair| {
                let pair = std::str::from_utf8(pair).expect("ASCII");
                u8::from_str_radix(pair, 16).expect("hexadecimal")
            })
            .collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
