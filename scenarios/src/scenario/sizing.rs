//! How many requests, users and units a phase needs. A phase by time is given twice what it is
//! expected to need, so that neither data nor stock ends before it does.

use std::time::Duration;

use loadgen::data::ELEMENTS_MAX;
use reports::result::Purpose;

use super::{BASE, End, PhasePlan, Products, Sale, Scenario};

/// Twice the expected need.
const RESERVE: f64 = 2.0;
/// What a closed loop is expected to reach where nothing was measured before: above what the fastest
/// engine has shown on small machines.
const CLOSED_PER_S: f64 = 150_000.0;
/// Units of a sale whose need is not known before the calibration. A unit is a number, not a row.
const UNITS_AMPLE: i64 = 1_000_000_000;

impl Scenario {
    /// Products of a phase, by popularity: the measured phase has the first numbers, and each other
    /// phase as many of its own behind them.
    pub fn products_of(&self, phase: usize) -> Vec<i64> {
        let count = i64::from(self.products.count);
        let measured = self.measured_phase();
        let block = if phase == measured {
            0
        } else {
            phase as i64 + 1
        };
        (1..=count).map(|number| block * count + number).collect()
    }

    /// Every sale of a leg.
    pub fn sales(&self) -> Vec<Sale> {
        let phases = 0..self.phases.len();
        phases.flat_map(|phase| self.sales_of(phase)).collect()
    }

    /// Sales of one phase. Those of a warm-up or a calibration never sell out, because then they
    /// would take the wrong path; they are no smaller than the scenario's own, because an engine
    /// whose parameters suit that stock must suit them too.
    pub fn sales_of(&self, phase: usize) -> Vec<Sale> {
        let Products {
            total, price_cents, ..
        } = self.products;
        let is_measured = self.phases[phase].purpose == Purpose::Measure;
        let total = match total {
            Some(total) if is_measured => total,
            total => self.ample_units(phase).max(total.unwrap_or(0)),
        };
        let sale = |product_id| Sale {
            product_id,
            total,
            price_cents,
        };
        self.products_of(phase).into_iter().map(sale).collect()
    }

    /// Units of one product that can never be sold out in this phase.
    fn ample_units(&self, phase: usize) -> i64 {
        match self.expected_requests(phase, |_| None) {
            Some(requests) => {
                // Who buys again needs units before those of the cancelled order are back.
                let purchases = self.load.after.map_or(1.0, |after| after.purchases());
                let quantity = f64::from(self.load.max_quantity);
                let units = requests as f64 * purchases * RESERVE * quantity;
                units.ceil() as i64
            }
            None => UNITS_AMPLE,
        }
    }

    /// Users of a phase, given the throughput of phases that ran before.
    pub fn users_of(&self, phase: usize, measured: impl Fn(&str) -> Option<f64>) -> u64 {
        let ceiling = ELEMENTS_MAX as u64;
        if let Some(users) = self.load.users {
            return users;
        }
        let expected = self.expected_requests(phase, &measured).unwrap_or_else(|| {
            let known = self.phases[..phase].iter().rev().find_map(|earlier| {
                measured(&earlier.name).filter(|_| earlier.purpose == Purpose::Calibrate)
            });
            let seconds = self.phases[phase].end.time().unwrap_or_default();
            (known.unwrap_or(CLOSED_PER_S) * seconds.as_secs_f64()) as u64
        });
        ((expected as f64 * RESERVE).ceil() as u64).clamp(1, ceiling)
    }

    /// Requests that a phase will send; none where that depends on what the system can do.
    pub fn expected_requests(
        &self,
        phase: usize,
        measured: impl Fn(&str) -> Option<f64>,
    ) -> Option<u64> {
        let PhasePlan { arrival, end, .. } = &self.phases[phase];
        let time = match end {
            End::Requests(requests) => return Some(*requests),
            End::Time(time) => time.as_secs_f64(),
        };
        if !arrival.is_open() {
            return None;
        }
        let mean = arrival.mean_rate(measured).ok()?.unwrap_or(0.0);
        Some((mean * time).ceil() as u64)
    }

    /// The scenario with every phase by count: as many requests as a base of this throughput is due
    /// to finish in the phase's time. So every leg of a comparison has the same work.
    ///
    /// # Errors
    /// The name that a rate is a share of, where that is not the base.
    pub fn with_counts(&self, base_per_s: f64) -> Result<Self, String> {
        let mut counted = self.clone();
        for (phase, counted) in self.phases.iter().zip(&mut counted.phases) {
            let End::Time(time) = phase.end else { continue };
            let measured = |name: &str| (name == BASE).then_some(base_per_s);
            let mean = phase.arrival.mean_rate(measured)?.unwrap_or(base_per_s);
            let requests = (mean * time.as_secs_f64()).round().max(1.0);
            counted.end = End::Requests(requests as u64);
        }
        Ok(counted)
    }

    /// A cautious guess at the time of one leg's phases.
    pub fn expected_time(&self, per_s: f64) -> Duration {
        let follows = self
            .load
            .after
            .map_or(0.0, |after| after.delay_max.as_secs_f64());
        let seconds = (0..self.phases.len()).map(|phase| match self.phases[phase].end {
            End::Time(time) => time.as_secs_f64(),
            End::Requests(requests) => {
                let rate = match self.phases[phase].arrival.rates().first() {
                    Some(rate) => rate.resolve(|_| None).unwrap_or(per_s),
                    None => per_s,
                };
                requests as f64 / rate
            }
        });
        let expires = self.products.time_to_pay.unwrap_or_default();
        let seconds = seconds.map(|of_phase| of_phase + follows);
        Duration::from_secs_f64(seconds.sum()) + expires
    }
}

impl End {
    pub fn time(&self) -> Option<Duration> {
        match self {
            Self::Time(time) => Some(*time),
            Self::Requests(_) => None,
        }
    }

    pub fn requests(&self) -> Option<u64> {
        match self {
            Self::Requests(requests) => Some(*requests),
            Self::Time(_) => None,
        }
    }
}
