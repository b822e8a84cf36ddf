//! What buyers do after the yes: the table `[load.after]` and what it means for a leg.

use std::time::Duration;

use loadgen::plan::{DELAY_MAX, Delay, Orders};
use reports::result::{AfterYes, DriverKind};

use super::Scenario;
use super::rules::{BrokenRule, broken, within};

/// Most connections to the order service for each kind of request: what follows comes at its own
/// time, and needs no crowd of connections.
const CONNECTIONS_MAX: u32 = 20;
/// Longest time to pay. A leg ends only when no order is left that could expire.
const TIME_TO_PAY_MAX: Duration = Duration::from_secs(3_600);
const SHARES_TOLERANCE: f64 = 1e-9;

/// Shares of the accepted orders, and of each other, as [`Orders`] has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct After {
    pub cancel: f64,
    pub pay: f64,
    /// Both at once.
    pub cancel_and_pay: f64,
    /// Of the cancels that were done: who buys again.
    pub again: f64,
    /// Of the cancels: sent twice.
    pub twice: f64,
    pub delay_min: Duration,
    pub delay_max: Duration,
}

impl After {
    /// For an order service at this address.
    pub fn orders(&self, address: String, connections: u32) -> Orders {
        Orders {
            address,
            connections: connections.min(CONNECTIONS_MAX),
            cancel: self.cancel,
            pay: self.pay,
            cancel_and_pay: self.cancel_and_pay,
            again: self.again,
            twice: self.twice,
            delay: Delay {
                min: self.delay_min,
                max: self.delay_max,
            },
        }
    }

    /// Purchases for each accepted order, itself included.
    pub(super) fn purchases(&self) -> f64 {
        1.0 + (self.cancel + self.cancel_and_pay) * self.again
    }

    pub(super) fn record(&self) -> AfterYes {
        AfterYes {
            cancel: self.cancel,
            pay: self.pay,
            cancel_and_pay: self.cancel_and_pay,
            again: self.again,
            twice: self.twice,
            delay_min_ns: loadgen::duration::ns(self.delay_min),
            delay_max_ns: loadgen::duration::ns(self.delay_max),
        }
    }
}

/// `50ms..500ms`, or one time for all.
pub(super) fn parse_delay(text: &str) -> Result<(Duration, Duration), String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let parse = loadgen::duration::parse_duration;
    Ok((parse(from)?, parse(to)?))
}

pub(super) fn check(scenario: &Scenario) -> Result<(), BrokenRule> {
    if let Some(time) = scenario.products.time_to_pay
        && (time.subsec_nanos() > 0 || time.is_zero() || time > TIME_TO_PAY_MAX)
    {
        let message = format!(
            "time_to_pay = {time:?} is out of range; allowed: whole seconds, 1s to {TIME_TO_PAY_MAX:?}"
        );
        return broken("products.time_to_pay", message);
    }
    let Some(after) = &scenario.load.after else {
        return Ok(());
    };
    for (name, share) in [
        ("cancel", after.cancel),
        ("pay", after.pay),
        ("cancel_and_pay", after.cancel_and_pay),
        ("again", after.again),
        ("twice", after.twice),
    ] {
        within(&format!("load.after.{name}"), share, 0.0, 1.0)?;
    }
    shares(after)?;
    let (min, max) = (after.delay_min, after.delay_max);
    if min > max || max > DELAY_MAX {
        let message = format!(
            "delay = {min:?}..{max:?} is out of range; allowed: from a shorter to a longer time, 0s to {DELAY_MAX:?}"
        );
        return broken("load.after.delay", message);
    }
    let mut drivers = scenario.variants.iter().filter_map(|it| it.driver.as_ref());
    if scenario.driver == DriverKind::Ghz || drivers.any(|kind| *kind == DriverKind::Ghz) {
        let message = "the driver ghz only buys; allowed with [load.after]: grpc, http";
        return broken("driver", message.to_owned());
    }
    if scenario.consumer_held_back {
        let message = "orders without rows can be neither cancelled nor paid; allowed with [load.after]: running";
        return broken("consumer", message.to_owned());
    }
    Ok(())
}

fn shares(after: &After) -> Result<(), BrokenRule> {
    let cancelled = after.cancel + after.cancel_and_pay;
    let sum = cancelled + after.pay;
    if sum > 1.0 + SHARES_TOLERANCE {
        let message = format!(
            "cancel, pay and cancel_and_pay are {sum} together, and are shares of the same orders; allowed: 1 at most"
        );
        let mut shares = [
            ("cancel", after.cancel),
            ("pay", after.pay),
            ("cancel_and_pay", after.cancel_and_pay),
        ];
        shares.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        return broken(&format!("load.after.{}", shares[0].0), message);
    }
    if sum <= 0.0 {
        let message = "nothing follows; allowed: a share of cancel, pay or cancel_and_pay";
        return broken("load.after", message.to_owned());
    }
    for (name, share) in [("again", after.again), ("twice", after.twice)] {
        if share > 0.0 && cancelled <= 0.0 {
            let message = format!("{name} is a share of the cancels, of which there are none");
            return broken(&format!("load.after.{name}"), message);
        }
    }
    Ok(())
}
