//! A smaller model of one sale in two slots: a unit moves by debit and credit with a transfer id,
//! late duplicates of both arrive, and "sold out" is read slot by slot (units-in-one-place, R16).

use crate::search::Edge;
use stateright::{Model, Property};

const TOTAL: u8 = 1;
const SLOTS: usize = 2;
const TRANSFERS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "a rule's number comes first everywhere"
)]
pub enum Removed {
    R16DebitBeforeCredit,
    R16ReceiverKeepsIds,
    R16DoubleCollect,
}

#[derive(Clone, Copy, Debug)]
pub struct Slots(pub Option<Removed>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    slots: [Slot; SLOTS],
    transfers: [Option<Transfer>; TRANSFERS],
    sold: u8,
    /// The reader's progress and the first of its two collects.
    reads: usize,
    seen: [Slot; SLOTS],
    is_empty: bool,
    sold_out: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    units: u8,
    /// Counts debits and credits.
    version: u8,
    /// Debited here and not known to have been credited, one bit per transfer.
    owing: u8,
    /// Credited here, one bit per transfer; kept for the whole epoch.
    credited: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Transfer {
    from: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Debited,
    Credited,
    /// The sender knows; credits that were sent twice may still arrive.
    Finished,
}

impl Slots {
    fn lacks(&self, rule: Removed) -> bool {
        self.0 == Some(rule)
    }

    fn credit(&self, world: &mut World, id: usize, to: usize) {
        let slot = &mut world.slots[to];
        if slot.credited & (1 << id) == 0 {
            slot.units += 1;
            slot.version += 1;
            slot.credited |= 1 << id;
        }
    }

    fn transfer(
        &self,
        world: &World,
        id: usize,
        step: &mut impl FnMut(&'static str, usize, World),
    ) {
        let mut next = *world;
        let Some(transfer) = world.transfers[id] else {
            let is_next = id == 0 || world.transfers[id - 1].is_some();
            for from in (0..SLOTS).filter(|from| is_next && world.slots[*from].units > 0) {
                let mut next = *world;
                next.transfers[id] = Some(Transfer {
                    from,
                    state: State::Debited,
                });
                if self.lacks(Removed::R16DebitBeforeCredit) {
                    self.credit(&mut next, id, (from + 1) % SLOTS);
                } else {
                    debit(&mut next.slots[from], id);
                }
                step("unit is taken for transfer", id, next);
            }
            return;
        };
        let to = (transfer.from + 1) % SLOTS;
        let state = |state| Some(Transfer { state, ..transfer });
        match transfer.state {
            State::Debited => {
                if self.lacks(Removed::R16DebitBeforeCredit) {
                    let slot = &mut next.slots[transfer.from];
                    slot.units = slot.units.saturating_sub(1);
                    slot.version += 1;
                } else {
                    self.credit(&mut next, id, to);
                }
                next.transfers[id] = state(State::Credited);
                step("unit arrives by transfer", id, next);
            }
            State::Credited => {
                next.slots[transfer.from].owing &= !(1 << id);
                next.transfers[id] = state(State::Finished);
                if self.lacks(Removed::R16ReceiverKeepsIds) {
                    next.slots[to].credited &= !(1 << id);
                }
                step("sender forgets transfer", id, next);
            }
            State::Finished => {
                self.credit(&mut next, id, to);
                if next != *world {
                    step(
                        "a late duplicate of the credit is executed, of transfer",
                        id,
                        next,
                    );
                }
            }
        }
    }

    /// Reads slot after slot, twice; sold out if both collects are empty, owe nothing, and agree.
    fn read(&self, world: &World, step: &mut impl FnMut(&'static str, usize, World)) {
        let at = world.reads % SLOTS;
        let slot = world.slots[at];
        let mut next = *world;
        let is_unchanged = world.reads < SLOTS || world.seen[at] == slot;
        next.seen[at] = slot;
        next.is_empty = (world.reads == 0 || world.is_empty)
            && slot.units == 0
            && slot.owing == 0
            && is_unchanged;
        next.reads += 1;
        let enough = if self.lacks(Removed::R16DoubleCollect) {
            SLOTS
        } else {
            2 * SLOTS
        };
        if next.reads == enough {
            next.sold_out |= next.is_empty;
            next = World {
                reads: 0,
                seen: [Slot::default(); SLOTS],
                is_empty: false,
                ..next
            };
        }
        step("reader looks at slot", at, next);
    }
}

fn debit(slot: &mut Slot, id: usize) {
    slot.units -= 1;
    slot.version += 1;
    slot.owing |= 1 << id;
}

impl Model for Slots {
    type State = World;
    type Action = Edge<World>;

    fn init_states(&self) -> Vec<World> {
        let mut slots = [Slot::default(); SLOTS];
        slots[0].units = TOTAL;
        vec![World {
            slots,
            transfers: [None; TRANSFERS],
            sold: 0,
            reads: 0,
            seen: [Slot::default(); SLOTS],
            is_empty: false,
            sold_out: false,
        }]
    }

    fn actions(&self, world: &World, edges: &mut Vec<Edge<World>>) {
        let mut step = |what, number, next| edges.push(Edge { what, number, next });
        for id in 0..TRANSFERS {
            self.transfer(world, id, &mut step);
        }
        for slot in (0..SLOTS).filter(|slot| world.slots[*slot].units > 0) {
            let mut next = *world;
            next.slots[slot].units -= 1;
            next.sold += 1;
            step("unit is sold in slot", slot, next);
        }
        self.read(world, &mut step);
    }

    fn next_state(&self, _world: &World, edge: Edge<World>) -> Option<World> {
        Some(edge.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("(a) no more is sold than there is", |_, world: &World| {
                world.sold <= TOTAL
            }),
            Property::always("(d) stock is conserved when quiet", |_, world: &World| {
                !is_quiet(world)
                    || world.sold + world.slots.iter().map(|slot| slot.units).sum::<u8>() == TOTAL
            }),
            Property::always(
                "(f) sold out was true of what is left",
                |_, world: &World| !world.sold_out || world.sold >= TOTAL,
            ),
        ];
        if self.0.is_none() {
            properties.push(Property::sometimes(
                "sold out is said",
                |_, world: &World| world.sold_out,
            ));
        }
        properties
    }
}

fn is_quiet(world: &World) -> bool {
    world
        .transfers
        .iter()
        .flatten()
        .all(|transfer| transfer.state == State::Finished)
}
