//! The small worlds that are searched completely, each about one part of the protocol.
//! `MODEL_DEPTH=1` allows one more fault of every kind that a world has at all: 11 million states
//! instead of 3, two minutes instead of half a one.

use crate::invariants::*;
use crate::model::{Config, Loss};
use crate::world::Budget;

/// More faults of each kind that `config` has.
pub fn deepened(mut config: Config, depth: u8) -> Config {
    let left = &mut config.budget;
    for fault in [
        &mut left.publisher_crashes,
        &mut left.stalls,
        &mut left.channel_closes,
        &mut left.engine_losses,
        &mut left.reconciler_crashes,
    ] {
        *fault += if *fault > 0 { depth } else { 0 };
    }
    config
}

const NONE: Budget = Budget {
    publisher_crashes: 0,
    stalls: 0,
    channel_closes: 0,
    zombies: 0,
    engine_losses: 0,
    reconciler_crashes: 0,
    poison: 0,
    cancels: 0,
    payments: 0,
    needless_openings: 0,
};

/// Two buyers want the last unit while the engine is lost and its next epoch opened.
pub const LOSS: Config = Config {
    name: "two buyers, one unit, the engine lost",
    total: 1,
    requests: &[(0, 0), (1, 0)],
    publishers: 1,
    reconcilers: 1,
    epochs: 2,
    one_by_one: false,
    deadlines: true,
    loss: Loss::SinceOpening,
    starting: false,
    budget: Budget {
        engine_losses: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, REOPENED, REFUSED_LATE],
};

/// The same with the publisher stalling and the reconciler dying.
pub const LOSS_WITH_DEATHS: Config = Config {
    name: "the engine lost, publisher stalling, reconciler dying",
    requests: &[(0, 0)],
    epochs: 3,
    deadlines: false,
    budget: Budget {
        engine_losses: 1,
        stalls: 1,
        reconciler_crashes: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, REOPENED, REFUSED_LATE],
    ..LOSS
};

/// The same with the consumer losing its channel.
pub const LOSS_WITH_CLOSES: Config = Config {
    name: "the engine lost, channels closing",
    requests: &[(0, 0), (1, 0)],
    one_by_one: true,
    loss: Loss::Nothing,
    deadlines: false,
    budget: Budget {
        engine_losses: 1,
        channel_closes: 1,
        zombies: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, REOPENED, REFUSED_LATE],
    ..LOSS
};

/// A buyer who has an order, perhaps a paid one, tries again in a later epoch.
pub const GATE: Config = Config {
    name: "a buyer tries again in a later epoch",
    total: 2,
    requests: &[(0, 0), (0, 0)],
    loss: Loss::Everything,
    deadlines: false,
    budget: Budget {
        engine_losses: 1,
        payments: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, REOPENED],
    ..LOSS
};

/// The engine is lost again while it is being loaded.
pub const TWO_LOSSES: Config = Config {
    name: "the engine lost again while it is loaded",
    epochs: 3,
    one_by_one: true,
    budget: Budget {
        engine_losses: 2,
        ..NONE
    },
    ..GATE
};

/// Two reconcilers open epochs at the same time, one of them without need.
pub const TWO_OPENERS: Config = Config {
    name: "two reconcilers open epochs",
    requests: &[(0, 0)],
    reconcilers: 2,
    epochs: 3,
    deadlines: false,
    budget: Budget {
        needless_openings: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, REOPENED, REFUSED_LATE],
    ..LOSS
};

/// A retry through another publisher while the first hold is being voided.
pub const ORPHANS: Config = Config {
    name: "a retry at another publisher while the reconciler voids",
    requests: &[(0, 0), (0, 1), (1, 1)],
    publishers: 2,
    epochs: 1,
    budget: Budget {
        publisher_crashes: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, VOIDED],
    ..LOSS
};

/// Voiding while consumers lose their channels, which returns messages in any order.
pub const REDELIVERY: Config = Config {
    name: "channels closing while the reconciler voids",
    requests: &[(0, 0), (1, 0)],
    epochs: 1,
    budget: Budget {
        channel_closes: 2,
        zombies: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, VOIDED],
    ..LOSS
};

/// The reconciler dies while it voids, and another one goes on.
pub const VOIDING_CRASHES: Config = Config {
    name: "two reconcilers void, one dies",
    requests: &[(0, 0), (0, 0)],
    reconcilers: 2,
    epochs: 1,
    budget: Budget {
        reconciler_crashes: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, VOIDED],
    ..LOSS
};

/// Publishers that start, stall and are retired.
pub const RETIREMENT: Config = Config {
    name: "publishers start, stall and are retired",
    requests: &[(0, 0), (0, 1)],
    publishers: 2,
    epochs: 1,
    starting: true,
    budget: Budget { stalls: 1, ..NONE },
    reaches: &[ACCEPTED, QUIET_SALE, VOIDED, RETIRED],
    ..LOSS
};

/// Messages that no consumer can read.
pub const POISON: Config = Config {
    name: "an unreadable message",
    requests: &[(0, 0), (1, 0)],
    epochs: 1,
    budget: Budget {
        poison: 1,
        channel_closes: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, PARKED],
    ..LOSS
};

/// An order is cancelled around an opening, and its unit sold again.
pub const CANCEL: Config = Config {
    name: "a cancelled unit is sold again across an epoch",
    requests: &[(0, 0), (1, 0)],
    one_by_one: true,
    budget: Budget {
        cancels: 2,
        needless_openings: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, REOPENED, RESOLD],
    ..LOSS
};
