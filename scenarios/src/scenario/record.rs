//! A scenario as its result records it.

use std::collections::BTreeMap;

use reports::result::{
    Arrival as ArrivalRecord, ArrivalShape, DataPlan, DriverRecord, PhaseEnd,
    PhasePlan as PhaseRecord, Rate as RateRecord, SaleRecord, Scenario as ScenarioRecord,
};
use sha2::{Digest, Sha256};

use super::{Arrival, OpenShape, Rate, Scenario};
use crate::provenance::hex;

impl Scenario {
    /// The record, with a hash of everything in it that changes what is measured.
    pub fn record(&self) -> ScenarioRecord {
        let mut record = ScenarioRecord {
            name: self.name.clone(),
            sha256: String::new(),
            title: self.title.clone(),
            question: self.question.clone(),
            sales: self
                .sales_of(self.measured_phase())
                .iter()
                .map(sale)
                .collect(),
            time_to_pay_ns: self.products.time_to_pay.map(loadgen::duration::ns),
            phases: (0..self.phases.len())
                .map(|phase| self.phase(phase))
                .collect(),
            rounds: self.rounds,
            consumer_held_back: self.consumer_held_back,
            may_sell_out: self.may_sell_out,
            objective: self.objective.clone(),
            limits_wanted: self.limits.clone(),
            reference: self.reference.clone(),
        };
        // Rounds, words and references change nothing about a leg.
        let hashed = ScenarioRecord {
            name: String::new(),
            title: String::new(),
            question: String::new(),
            phases: record.phases.iter().map(without_version).collect(),
            rounds: 0,
            reference: Vec::new(),
            ..record.clone()
        };
        let variants = format!("{:?}", self.variants);
        let beside = (&hashed, &self.ack, variants, self.search);
        let bytes = serde_json::to_vec(&beside).unwrap_or_default();
        record.sha256 = hex(Sha256::digest(bytes));
        record
    }

    fn phase(&self, index: usize) -> PhaseRecord {
        let (phase, load) = (&self.phases[index], &self.load);
        PhaseRecord {
            name: phase.name.clone(),
            purpose: phase.purpose.clone(),
            products: self.products_of(index),
            driver: DriverRecord {
                kind: self.driver.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                threads: load.driver_threads(),
                connections: load.connections,
                timeout_ns: u64::try_from(load.timeout.as_nanos()).unwrap_or(u64::MAX),
                tls: false,
                pacing: phase.arrival.is_open().then(|| "timerfd".to_owned()),
            },
            arrival: arrival(&phase.arrival),
            end: PhaseEnd {
                count: phase.end.requests(),
                time_ns: phase
                    .end
                    .time()
                    .map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            },
            data: DataPlan {
                users: self.users_of(index, |_| None),
                popularity: load.popularity.clone(),
                zipf_exponent: load.zipf_exponent,
                mix: BTreeMap::new(),
                quantity_max: load.max_quantity,
                seed: load.seed,
                may_wrap: load.may_wrap,
                after: load.after.map(|after| after.record()),
            },
        }
    }
}

fn without_version(phase: &PhaseRecord) -> PhaseRecord {
    let mut phase = phase.clone();
    phase.driver.version.clear();
    phase
}

fn sale(sale: &super::Sale) -> SaleRecord {
    SaleRecord {
        product_id: sale.product_id,
        total: sale.total,
        price_cents: sale.price_cents,
    }
}

fn arrival(arrival: &Arrival) -> ArrivalRecord {
    let mut record = ArrivalRecord {
        shape: ArrivalShape::Closed,
        workers: None,
        think_ns: None,
        rates: arrival.rates().into_iter().map(rate).collect(),
        backlog_max: None,
        in_flight_max: None,
    };
    match arrival {
        Arrival::Closed { concurrency } => record.workers = Some(*concurrency),
        Arrival::Open { shape, backlog_max } => {
            record.backlog_max = Some(*backlog_max);
            record.shape = match shape {
                OpenShape::Constant { .. } => ArrivalShape::Constant,
                OpenShape::Step { .. } => ArrivalShape::Step,
                OpenShape::Line { .. } => ArrivalShape::Line,
                OpenShape::Spike { .. } => ArrivalShape::Spike,
                OpenShape::Poisson { .. } => ArrivalShape::Poisson,
            };
        }
    }
    record
}

fn rate(rate: &Rate) -> RateRecord {
    match rate {
        Rate::PerS(per_s) => RateRecord {
            per_s: Some(*per_s),
            ..RateRecord::default()
        },
        Rate::Share { share, of } => RateRecord {
            share: Some(*share),
            of: Some(of.clone()),
            ..RateRecord::default()
        },
    }
}
