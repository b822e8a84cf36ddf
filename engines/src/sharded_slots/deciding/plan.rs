//! Phase 2, its second half: which requests of a batch can be granted when some home slot lacks
//! units, which are sold out, and what has to move.
//!
//! Pure: it plays the requests one by one, in order, against what the slots were seen to hold, so
//! that a batch answers as the same requests would one by one. `granting` carries out what it
//! decides, and every slot checks it again.

use super::super::answers::SlotState;
use super::super::transfers::Move;
use super::batch::UndecidedRequest;
use std::collections::HashSet;

/// What is to be done; positions are those of the requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RoundPlan {
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

/// The most units that there were at a moment between the two times that all slots were asked, if
/// that is known: nothing came back and nothing moved in between, so that each slot can only have
/// sold. Units on the move are in no slot, units-in-one-place (R16), so a sum over the slots says
/// nothing while a transfer is under way.
fn most_units_left(before: &[SlotState], now: &[SlotState]) -> Option<u64> {
    let is_still = before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| {
            (before.returned, before.moved) == (now.returned, now.moved) && now.transfers.is_empty()
        });
    is_still.then(|| before.iter().map(|state| state.remaining).sum())
}

/// Plays `requests` in order. `before` was complete when `now` began; all of `requests` were found
/// without a gate in `now`.
pub(super) fn plan(
    requests: &[UndecidedRequest],
    before: &[SlotState],
    now: &[SlotState],
) -> RoundPlan {
    let mut least: u64 = now.iter().map(|state| state.remaining).sum();
    let mut most = most_units_left(before, now);
    let mut plan = RoundPlan {
        needs: vec![0; now.len()],
        ..RoundPlan::default()
    };
    let (mut buyers, mut refused_buyers) = (HashSet::new(), HashSet::new());
    for (position, request) in requests.iter().enumerate() {
        if !request.may_sell && refused_buyers.contains(&request.user) {
            // Its buyer's refusal is still to be checked; until then nobody knows what it follows.
        } else if buyers.contains(&request.user) || !request.may_sell {
            plan.granted.push((position, false));
        } else if request.quantity <= least {
            // The gate of this grant would hide its buyer's refusal, which is still
            // to be checked.
            if refused_buyers.contains(&request.user) {
                break;
            }
            least -= request.quantity;
            most = most.map(|most| most - request.quantity);
            plan.needs[request.slot] += request.quantity;
            plan.granted.push((position, true));
            buyers.insert(request.user);
        } else if most.is_some_and(|most| request.quantity > most) {
            // sold-out-means-gone (R18): not even the most that there can have been is enough.
            if plan.granted.is_empty() {
                plan.refused.push((position, least));
            } else {
                plan.refused_after.push((position, least));
                refused_buyers.insert(request.user);
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
fn moves(needs: &[u64], now: &[SlotState]) -> Vec<Move> {
    let mut spare: Vec<u64> = now
        .iter()
        .zip(needs)
        .map(|(state, need)| state.remaining.saturating_sub(*need))
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
    use super::super::super::answers::Transfer;
    use super::*;
    use crate::UserId;

    fn states(remaining: &[u64]) -> Vec<SlotState> {
        remaining
            .iter()
            .map(|remaining| SlotState {
                remaining: *remaining,
                ..SlotState::default()
            })
            .collect()
    }

    fn request(slot: usize, user: i64, quantity: u64) -> UndecidedRequest {
        UndecidedRequest {
            index: 0,
            slot,
            user: UserId(user),
            quantity,
            may_sell: true,
        }
    }

    #[test]
    fn the_last_units_are_gathered_from_all_slots() {
        let now = states(&[1, 1, 1]);
        let plan = plan(
            &[
                request(0, 1, 5),
                request(0, 2, 2),
                request(2, 3, 1),
                request(1, 4, 1),
            ],
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
        let before = states(&[1, 1]);
        let requests = [request(0, 1, 3), request(1, 2, 1)];
        for change in [
            |state: &mut SlotState| state.returned += 1,
            |state: &mut SlotState| state.moved += 1,
            |state: &mut SlotState| {
                state.transfers.push(Transfer {
                    target: 0,
                    number: 1,
                    quantity: 9,
                })
            },
        ] {
            let mut now = before.clone();
            change(&mut now[1]);
            assert_eq!(
                plan(&requests, &before, &now),
                RoundPlan {
                    needs: vec![0, 0],
                    ..RoundPlan::default()
                }
            );
        }
        assert_eq!(
            plan(&requests, &[], &before),
            RoundPlan {
                needs: vec![0, 0],
                ..RoundPlan::default()
            }
        );
        assert_eq!(plan(&requests, &before, &before).refused, [(0, 2)]);
    }

    #[test]
    fn units_sold_between_two_looks_are_counted_neither_as_left_nor_as_gone() {
        let plan = plan(
            &[request(0, 1, 9), request(0, 2, 4)],
            &states(&[5, 0]),
            &states(&[3, 0]),
        );
        assert_eq!((plan.refused, plan.granted), (vec![(0, 3)], vec![]));
    }

    #[test]
    fn a_buyer_who_is_twice_in_a_batch_gets_one_grant_and_its_duplicate() {
        let now = states(&[4]);
        let plan = plan(
            &[
                request(0, 1, 2),
                request(0, 1, 3),
                request(0, 2, 3),
                request(0, 2, 1),
            ],
            &now,
            &now,
        );
        assert_eq!(plan.granted, [(0, true), (1, false)]);
        assert_eq!(plan.refused_after, [(2, 2)]);
    }

    #[test]
    fn a_look_waits_for_the_request_of_its_buyer_that_it_follows() {
        let look = |user| UndecidedRequest {
            may_sell: false,
            ..request(0, user, 1)
        };
        let now = states(&[4]);
        let plan = plan(
            &[
                request(0, 1, 2),
                look(1),
                request(0, 2, 3),
                look(2),
                look(3),
            ],
            &now,
            &now,
        );
        assert_eq!(plan.granted, [(0, true), (1, false), (4, false)]);
        assert_eq!(plan.refused_after, [(2, 2)], "and its look is not offered");
        assert_eq!(plan.needs, [2]);
    }

    #[test]
    fn a_hot_slot_takes_half_of_what_the_richest_can_spare() {
        let now = states(&[0, 100, 10]);
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
        assert_eq!(moves(&[2, 4, 0], &states(&[0, 0, 6])), expected);
    }
}
