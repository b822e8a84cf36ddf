//! Small worlds about what happens to an order after the yes: changes that compete, releases, dead
//! letters, totals that change.

use crate::configs::{LOSS, NONE};
use crate::model::{Config, Loss};
use crate::reached::*;
use crate::world::Budget;

/// Two instances cancel, pay and complete an order while it expires; its buyer buys again.
pub const COMPETING: Config = Config {
    name: "two instances change one order",
    requests: &[(0, 0), (0, 0)],
    sold: &[0],
    hands: 2,
    epochs: 1,
    deadlines: false,
    budget: Budget {
        cancels: 2,
        payments: 1,
        completions: 1,
        expiries: 1,
        ..NONE
    },
    reaches: &[
        MET_ANOTHER,
        MET_PAYMENT,
        MET_EXPIRY,
        LATE_PAYMENT,
        COMPLETED,
        BOUGHT_AGAIN,
        LATE_RELEASE,
    ],
    ..LOSS
};

/// Changes come before the row, before the settle, and between two deliveries of one order.
pub const EARLY: Config = Config {
    name: "an order is cancelled as soon as it has a row",
    requests: &[(0, 0), (0, 0)],
    hands: 1,
    epochs: 1,
    budget: Budget {
        cancels: 1,
        expiries: 1,
        ..NONE
    },
    reaches: &[OVERTAKES, BOUGHT_AGAIN, QUIET_SALE],
    ..LOSS
};

/// Two instances cancel one order while an epoch is opened, and its unit is sold again.
pub const CANCELLED_TWICE: Config = Config {
    name: "two instances cancel one order during an opening",
    requests: &[(0, 0), (1, 0)],
    sold: &[0],
    hands: 2,
    deadlines: false,
    budget: Budget {
        cancels: 2,
        needless_openings: 1,
        ..NONE
    },
    reaches: &[MET_ANOTHER, MET_GRANT, RESOLD, QUIET_SALE],
    ..LOSS
};

/// One order is cancelled, paid and expires while the engine is lost and an epoch opened.
pub const COMPETING_LOST: Config = Config {
    name: "two instances change one order, the engine lost",
    requests: &[(0, 0)],
    loss: Loss::SinceOpening,
    budget: Budget {
        cancels: 1,
        payments: 1,
        expiries: 1,
        engine_losses: 1,
        ..NONE
    },
    reaches: &[MET_PAYMENT, MET_EXPIRY, LATE_PAYMENT, MET_GRANT],
    ..CANCELLED_TWICE
};

/// A release is left when the sale ends, is paused, or its window moved.
pub const CHANGED_AT_END: Config = Config {
    name: "an order is cancelled around the end of its sale and a pause",
    requests: &[(0, 0), (1, 0)],
    sold: &[0],
    hands: 1,
    epochs: 3,
    deadlines: false,
    budget: Budget {
        cancels: 1,
        payments: 1,
        window_ends: 1,
        window_moves: 1,
        pauses: 1,
        ..NONE
    },
    reaches: &[LEFT_AT_END, PAUSED, RESOLD],
    ..LOSS
};

/// The total is raised, and raised again while the epoch with the first raise is opened.
pub const RAISE: Config = Config {
    name: "the total is raised",
    requests: &[(0, 0), (1, 0)],
    one_by_one: true,
    deadlines: false,
    wants: &[2, 3],
    budget: Budget { wants: 2, ..NONE },
    reaches: &[RAISED, REOPENED],
    ..LOSS
};

/// The total is cut while its last unit is sold and another comes back, in a sale that is paused.
pub const REDUCE: Config = Config {
    name: "the total is cut",
    total: 2,
    requests: &[(0, 0), (1, 0)],
    sold: &[0],
    hands: 1,
    deadlines: false,
    wants: &[1],
    budget: Budget {
        cancels: 1,
        pauses: 1,
        wants: 1,
        ..NONE
    },
    reaches: &[CUT, CUT_SHORT, MET_GRANT, PAUSED],
    ..LOSS
};

/// A message that cannot be read is replayed or discarded while its buyer asks again.
pub const DEAD_LETTERS: Config = Config {
    name: "operators deal with an unreadable message",
    requests: &[(0, 0), (0, 0)],
    epochs: 1,
    settles_drained: true,
    budget: Budget {
        poison: 2,
        replays: 1,
        discards: 1,
        ..NONE
    },
    reaches: &[PARKED, REPLAYED, GIVEN_UP, PROMISED_AGAIN],
    ..LOSS
};

/// The same when an epoch is opened before anybody looks at the message.
pub const DEAD_LETTERS_LATE: Config = Config {
    name: "operators deal with an unreadable message around an opening",
    requests: &[(0, 0), (1, 0)],
    epochs: 2,
    one_by_one: true,
    deadlines: false,
    settles_drained: false,
    budget: Budget {
        poison: 1,
        replays: 2,
        discards: 1,
        engine_losses: 1,
        ..NONE
    },
    reaches: &[PARKED, REPLAYED, TOO_LATE, REFUSED_LATE],
    ..DEAD_LETTERS
};

/// Buyers are refused before and after the unit that was sold comes back.
pub const SOLD_OUT: Config = Config {
    name: "buyers are refused around a cancel",
    requests: &[(0, 0), (1, 0), (1, 0)],
    sold: &[0],
    hands: 1,
    epochs: 1,
    deadlines: false,
    budget: Budget { cancels: 1, ..NONE },
    reaches: &[REFUSED_MEANWHILE, OTHER_BUYS],
    ..LOSS
};

/// Two instances cancel one order around the end of its sale.
pub const CANCELLED_TWICE_AT_END: Config = Config {
    name: "two instances cancel one order around the end of its sale",
    requests: &[(0, 0)],
    sold: &[0],
    hands: 2,
    epochs: 3,
    deadlines: false,
    budget: Budget {
        cancels: 2,
        window_ends: 1,
        window_moves: 1,
        ..NONE
    },
    reaches: &[MET_ANOTHER, MET_GRANT, LEFT_AT_END],
    ..LOSS
};
