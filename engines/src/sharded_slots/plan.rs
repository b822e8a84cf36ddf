//! Which requests of a batch can be granted when some home slot lacks units, which are sold out,
//! and what has to move.
//!
//! Pure: it plays the requests one by one, in order, against what the slots were seen to hold, so
//! that a batch answers as the same requests alone would. What it decides is carried out, and
//! checked again, by deciding.rs.

use super::answers::Look;
use super::transfers::Move;
use crate::UserId;
use std::collections::HashSet;

/// A request that its home slot could not decide.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    /// Where in the batch it is.
    pub(super) index: usize,
    /// Its home slot.
    pub(super) slot: usize,
    pub(super) user: UserId,
    pub(super) quantity: u64,
    /// Whether units may be granted to it.
    pub(super) may_sell: bool,
}

/// What is to be done; positions are those of the wishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Sold out with so many units left, whatever else happens.
    pub(super) refused: Vec<(usize, u64)>,
    /// To be offered to its home slot, and whether a grant is the only answer that is expected: a
    /// later request of a buyer who is granted something here will be a duplicate, and one that may
    /// not sell is granted nothing.
    pub(super) granted: Vec<(usize, bool)>,
    /// Sold out once all of `granted` have been granted, if nothing comes back meanwhile.
    pub(super) refused_after: Vec<(usize, u64)>,
    /// What each slot sells of `granted`.
    pub(super) needs: Vec<u64>,
    /// What has to move first.
    pub(super) moves: Vec<Move>,
}

/// The most units that there were at a moment between two looks at all slots, if that is known:
/// nothing came back and nothing moved in between (R16), so that each slot can only have sold.
fn most_units_left(before: &[Look], now: &[Look]) -> Option<u64> {
    let is_still = before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| {
            (before.returned, before.moved) == (now.returned, now.moved) && now.flights.is_empty()
        });
    is_still.then(|| before.iter().map(|look| look.remaining).sum())
}

/// Plays `wishes` in order. `before` was complete when `now` began; all of `wishes` were found
/// without a gate in `now`.
pub(super) fn plan(wishes: &[Wish], before: &[Look], now: &[Look]) -> Plan {
    let mut least: u64 = now.iter().map(|look| look.remaining).sum();
    let mut most = most_units_left(before, now);
    let mut plan = Plan {
        needs: vec![0; now.len()],
        ..Plan::default()
    };
    let (mut buyers, mut refused_buyers) = (HashSet::new(), HashSet::new());
    for (position, wish) in wishes.iter().enumerate() {
        if !wish.may_sell && refused_buyers.contains(&wish.user) {
            // Its buyer's refusal is still to be checked; until then nobody knows what it follows.
        } else if buyers.contains(&wish.user) || !wish.may_sell {
            plan.granted.push((position, false));
        } else if wish.quantity <= least {
            // His gate would hide the refusal that is still to be checked.
            if refused_buyers.contains(&wish.user) {
                break;
            }
            least -= wish.quantity;
            most = most.map(|most| most - wish.quantity);
            plan.needs[wish.slot] += wish.quantity;
            plan.granted.push((position, true));
            buyers.insert(wish.user);
        } else if most.is_some_and(|most| wish.quantity > most) {
            if plan.granted.is_empty() {
                plan.refused.push((position, least));
            } else {
                plan.refused_after.push((position, least));
                refused_buyers.insert(wish.user);
            }
        } else {
            break;
        }
    }
    plan.moves = moves(&plan.needs, now);
    plan
}

/// Brings every slot what it lacks, from the richest first; then, with each transfer, half of what
/// nobody lacks there: a slot that is asked for much more than the others soon holds most of the
/// stock instead of moving units for every request.
fn moves(needs: &[u64], now: &[Look]) -> Vec<Move> {
    let mut spare: Vec<u64> = now
        .iter()
        .zip(needs)
        .map(|(look, need)| look.remaining.saturating_sub(*need))
        .collect();
    let mut moves = Vec::new();
    for (target, need) in needs.iter().enumerate() {
        let mut lacking = need.saturating_sub(now[target].remaining);
        while lacking > 0 {
            let richest = (0..spare.len())
                .max_by_key(|slot| spare[*slot])
                .filter(|slot| spare[*slot] > 0);
            let Some(source) = richest else { break };
            let taken = lacking.min(spare[source]);
            moves.push(Move {
                source,
                target,
                quantity: taken,
            });
            spare[source] -= taken;
            lacking -= taken;
        }
    }
    for Move {
        source, quantity, ..
    } in &mut moves
    {
        let more = spare[*source] / 2;
        *quantity += more;
        spare[*source] -= more;
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::super::answers::Flight;
    use super::*;

    fn looks(remaining: &[u64]) -> Vec<Look> {
        remaining
            .iter()
            .map(|remaining| Look {
                remaining: *remaining,
                ..Look::default()
            })
            .collect()
    }

    fn wish(slot: usize, user: i64, quantity: u64) -> Wish {
        Wish {
            index: 0,
            slot,
            user: UserId(user),
            quantity,
            may_sell: true,
        }
    }

    #[test]
    fn the_last_units_are_gathered_from_all_slots() {
        let now = looks(&[1, 1, 1]);
        let plan = plan(
            &[wish(0, 1, 5), wish(0, 2, 2), wish(2, 3, 1), wish(1, 4, 1)],
            &now,
            &now,
        );
        assert_eq!(plan.refused, [(0, 3)]);
        assert_eq!(plan.granted, [(1, true), (2, true)]);
        assert_eq!(plan.refused_after, [(3, 0)]);
        assert_eq!(
            plan.moves,
            [Move {
                source: 1,
                target: 0,
                quantity: 1
            }]
        );
    }

    #[test]
    fn nothing_is_sold_out_while_something_comes_back_or_moves() {
        let before = looks(&[1, 1]);
        let wishes = [wish(0, 1, 3), wish(1, 2, 1)];
        for change in [
            |look: &mut Look| look.returned += 1,
            |look: &mut Look| look.moved += 1,
            |look: &mut Look| {
                look.flights.push(Flight {
                    target: 0,
                    number: 1,
                    quantity: 9,
                })
            },
        ] {
            let mut now = before.clone();
            change(&mut now[1]);
            assert_eq!(
                plan(&wishes, &before, &now),
                Plan {
                    needs: vec![0, 0],
                    ..Plan::default()
                }
            );
        }
        assert_eq!(
            plan(&wishes, &[], &before),
            Plan {
                needs: vec![0, 0],
                ..Plan::default()
            }
        );
        assert_eq!(plan(&wishes, &before, &before).refused, [(0, 2)]);
    }

    #[test]
    fn units_sold_between_two_looks_are_counted_neither_as_left_nor_as_gone() {
        let plan = plan(
            &[wish(0, 1, 9), wish(0, 2, 4)],
            &looks(&[5, 0]),
            &looks(&[3, 0]),
        );
        assert_eq!((plan.refused, plan.granted), (vec![(0, 3)], vec![]));
    }

    #[test]
    fn a_buyer_twice_in_a_batch_is_his_own_duplicate() {
        let now = looks(&[4]);
        let plan = plan(
            &[wish(0, 1, 2), wish(0, 1, 3), wish(0, 2, 3), wish(0, 2, 1)],
            &now,
            &now,
        );
        assert_eq!(plan.granted, [(0, true), (1, false)]);
        assert_eq!(plan.refused_after, [(2, 2)]);
    }

    #[test]
    fn a_look_waits_for_the_request_of_its_buyer_that_it_follows() {
        let look = |user| Wish {
            may_sell: false,
            ..wish(0, user, 1)
        };
        let now = looks(&[4]);
        let plan = plan(
            &[wish(0, 1, 2), look(1), wish(0, 2, 3), look(2), look(3)],
            &now,
            &now,
        );
        assert_eq!(plan.granted, [(0, true), (1, false), (4, false)]);
        assert_eq!(plan.refused_after, [(2, 2)], "and its look is not offered");
        assert_eq!(plan.needs, [2]);
    }

    #[test]
    fn a_hot_slot_takes_half_of_what_the_richest_can_spare() {
        let now = looks(&[0, 100, 10]);
        assert_eq!(
            moves(&[2, 0, 0], &now),
            [Move {
                source: 1,
                target: 0,
                quantity: 2 + 49
            }]
        );
        let both = [
            Move {
                source: 1,
                target: 0,
                quantity: 100,
            },
            Move {
                source: 2,
                target: 0,
                quantity: 7,
            },
        ];
        assert_eq!(moves(&[104, 0, 0], &now), both);
    }

    #[test]
    fn what_one_slot_gets_on_top_is_not_what_another_lacks() {
        let expected = [(2, 0, 2), (2, 1, 4)].map(|(source, target, quantity)| Move {
            source,
            target,
            quantity,
        });
        assert_eq!(moves(&[2, 4, 0], &looks(&[0, 0, 6])), expected);
    }
}
