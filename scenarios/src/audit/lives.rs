//! Buyers with several orders of one sale, one after the other: from when to when each of them was
//! surely alive. Keeps 40 bytes for each order of such a buyer, and nothing of others.

use super::{
    CLOCK_MARGIN_MS,
    bounded_list::BoundedList,
    changes::Asked,
    database::{Order, status},
    outcome_index::OutcomeIndex,
};

#[derive(Debug, Default)]
pub(super) struct Lives {
    all: Vec<Life>,
}

#[derive(Debug)]
struct Life {
    product_id: i64,
    user_id: i64,
    order_id: i64,
    /// Unix µs when its buyer had been told yes.
    from_us: i64,
    /// Unix µs when a cancel was sent that may have ended it, or it expired.
    until_us: i64,
}

/// Buyers who had several orders, and those who had two at once.
#[derive(Debug)]
pub(super) struct Overlaps {
    pub(super) buyers: u64,
    pub(super) orders: u64,
    pub(super) faults: BoundedList,
}

impl Lives {
    pub(super) fn row(&mut self, outcomes: &OutcomeIndex, order: &Order, asked: Asked) {
        let (product_id, user_id) = (order.product_id, order.user_id);
        if outcomes.requests_of(product_id, user_id).len() < 2 {
            return;
        }
        let told = outcomes.told(order.order_id).iter();
        let told = told.map(|at| outcomes.record(*at));
        let own = told.filter(|told| (told.product_id, told.user_id) == (product_id, user_id));
        let Some(from_us) = own.map(|told| told.ended_at_unix_us).min() else {
            return;
        };
        let changed_us = (order.updated_at_ms - CLOCK_MARGIN_MS).saturating_mul(1_000);
        let until_us = match order.status {
            status::CANCELLED if order.expired != 0 => changed_us,
            status::CANCELLED => asked.cancel_us.unwrap_or(changed_us),
            // It never lived; that it was told yes is named elsewhere.
            status::VOID => return,
            _ => i64::MAX,
        };
        self.all.push(Life {
            product_id,
            user_id,
            order_id: order.order_id,
            from_us,
            until_us,
        });
    }

    pub(super) fn overlaps(&mut self) -> Overlaps {
        let mut found = Overlaps {
            buyers: 0,
            orders: 0,
            faults: BoundedList::default(),
        };
        self.all
            .sort_unstable_by_key(|life| (life.product_id, life.user_id, life.from_us));
        let same_buyer =
            |a: &Life, b: &Life| (a.product_id, a.user_id) == (b.product_id, b.user_id);
        for lives in self.all.chunk_by(same_buyer) {
            if lives.len() < 2 {
                continue;
            }
            found.buyers += 1;
            found.orders += lives.len() as u64;
            let mut longest = &lives[0];
            for life in &lives[1..] {
                // Two rows of one order are named elsewhere.
                if longest.until_us > life.from_us && longest.order_id != life.order_id {
                    let Life {
                        user_id,
                        product_id,
                        order_id,
                        ..
                    } = *life;
                    let earlier = longest.order_id;
                    found.faults.add(|| {
                        format!(
                            "user {user_id} was told of order {order_id} of product {product_id} while order {earlier} was live"
                        )
                    });
                }
                if life.until_us > longest.until_us {
                    longest = life;
                }
            }
        }
        found
    }
}
