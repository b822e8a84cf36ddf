//! The small worlds that are searched completely, each about one part of the protocol.
//! `MODEL_DEPTH=1` allows one more fault of every kind that a world has at all: 16 million states
//! instead of 7.

use crate::model::{Config, Loss};
use crate::reached::*;
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

pub const NONE: Budget = Budget {
    publisher_crashes: 0,
    stalls: 0,
    channel_closes: 0,
    zombies: 0,
    engine_losses: 0,
    reconciler_crashes: 0,
    poison: 0,
    cancels: 0,
    payments: 0,
    expiries: 0,
    completions: 0,
    replays: 0,
    discards: 0,
    pauses: 0,
    wants: 0,
    needless_openings: 0,
    queue_losses: 0,
    clock_steps: 0,
    window_ends: 0,
    window_moves: 0,
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
    starts_over: false,
    sold: &[],
    hands: 0,
    wants: &[],
    settles_drained: false,
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
    hands: 1,
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

/// A queue is lost while a buyer tries again at another publisher, and holds are voided.
pub const QUEUE_LOST: Config = Config {
    name: "a queue is lost",
    requests: &[(0, 0), (0, 1)],
    publishers: 2,
    epochs: 1,
    one_by_one: true,
    budget: Budget {
        queue_losses: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, PARKED, RETIRED],
    ..LOSS
};

/// An order is cancelled around an opening, and its unit sold again.
pub const CANCEL: Config = Config {
    name: "a cancelled unit is sold again across an epoch",
    requests: &[(0, 0), (1, 0)],
    one_by_one: true,
    hands: 1,
    budget: Budget {
        cancels: 2,
        needless_openings: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, QUIET_SALE, REOPENED, RESOLD],
    ..LOSS
};

/// The database's clock leaps while the engine is lost and its next epoch opened.
pub const CLOCK: Config = Config {
    name: "the database's clock leaps during an opening",
    requests: &[(0, 0)],
    deadlines: false,
    budget: Budget {
        engine_losses: 1,
        clock_steps: 1,
        ..NONE
    },
    ..LOSS
};

/// The window ends; a buyer asks again, with an order or without; the window is moved.
pub const END: Config = Config {
    name: "a sale ends, and its window is moved",
    requests: &[(0, 0), (0, 0)],
    one_by_one: true,
    epochs: 3,
    budget: Budget {
        window_ends: 1,
        window_moves: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, ENDED, TOLD_ENDED, TOLD_AFTERWARDS, REOPENED],
    ..LOSS
};

/// The engine is lost around the end, so that it says nothing of open holds.
pub const END_LOST: Config = Config {
    name: "a sale ends whose engine was lost",
    epochs: 2,
    deadlines: false,
    budget: Budget {
        engine_losses: 1,
        window_ends: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, ENDED, TOLD_ENDED, TOLD_AFTERWARDS],
    ..END
};

/// The window is moved while one reconciler ends the sale, and another opens it.
pub const END_MOVED: Config = Config {
    name: "a window is moved while its sale ends",
    reconcilers: 2,
    deadlines: false,
    starts_over: true,
    budget: Budget {
        window_moves: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, ENDED, TOLD_ENDED, REOPENED],
    ..END
};

/// A reconciler that opens an epoch without need is overtaken by one that ends the sale.
pub const END_OVERTAKES: Config = Config {
    name: "an opening is overtaken by the end of its sale",
    requests: &[],
    reconcilers: 2,
    deadlines: false,
    budget: Budget {
        needless_openings: 1,
        window_ends: 1,
        ..NONE
    },
    reaches: &[ENDED],
    ..END
};

/// An order is cancelled around the end, and its unit sold again when the window has been moved.
pub const END_CANCEL: Config = Config {
    name: "a unit is cancelled around the end of its sale",
    requests: &[(0, 0), (1, 0)],
    deadlines: false,
    hands: 1,
    budget: Budget {
        cancels: 1,
        window_ends: 1,
        window_moves: 1,
        ..NONE
    },
    reaches: &[ACCEPTED, ENDED, REOPENED, RESOLD],
    ..END
};
