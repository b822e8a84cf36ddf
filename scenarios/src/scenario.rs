//! A scenario: a question and the load that answers it. `file` reads the TOML and knows its lines,
//! `rules` says what is allowed. Options of the command line that change a scenario are held to the
//! same rules.

mod file;
mod rules;

pub use file::ScenarioError;
pub use rules::BrokenRule;

use reports::model::{AckMode, LoadRecord, ReferenceRow, SaleRecord, ScenarioRecord};

#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// The file's name without its ending.
    pub name: String,
    pub title: String,
    pub question: String,
    pub sales: Vec<Sale>,
    /// Names of engines that `seckill engines` lists, with parameters if any.
    pub engines: Vec<String>,
    pub driver: String,
    pub ack: AckMode,
    pub rounds: u32,
    pub load: Load,
    /// Requests sent to a sale of their own before anything is measured; 0 leaves the warm-up out.
    pub warmup_requests: u64,
    /// The consumer is stopped while the load runs, so that the drain measures it alone.
    pub consumer_held_back: bool,
    pub reference: Vec<ReferenceRow>,
    pub expectations: Expectations,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sale {
    pub product_id: i64,
    /// Units on offer.
    pub total: i64,
    pub price_cents: i64,
}

/// A closed loop: `concurrency` workers, each of which waits for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub concurrency: u32,
    pub connections: u32,
    pub requests: u64,
    pub timeout_ms: u64,
    pub users: u64,
    /// Each request asks for 1 to this many units.
    pub max_quantity: u32,
    pub seed: u64,
}

/// What must hold for every complete leg of a ranked engine; the audit must pass whether it is
/// listed or not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expectations {
    /// At most this many requests that ended as error or as unknown.
    pub errors: Option<u64>,
    pub p99_ms_max: Option<f64>,
    pub requests_per_s_min: Option<f64>,
    /// Share of accepted units committed at the last reply, 0 to 1.
    pub committed_at_last_reply_min: Option<f64>,
    pub system_cpu_until_reply_us_max: Option<f64>,
    pub system_cpu_until_drained_us_max: Option<f64>,
}

impl Scenario {
    /// Reads and checks a scenario. `name` is its short name; `file` is how errors refer to it.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Self, ScenarioError> {
        file::parse(name, file, text)
    }

    /// The first rule that is broken, if any.
    pub fn check(&self) -> Result<(), BrokenRule> {
        rules::check(self)
    }

    /// Product of the warm-up's own sale: the first number after those of the scenario.
    pub fn warmup_product_id(&self) -> i64 {
        self.sales
            .iter()
            .map(|sale| sale.product_id)
            .max()
            .unwrap_or(0)
            + 1
    }

    /// The warm-up's sale can never sell out, because then it would warm up the wrong path. It is
    /// no smaller than the scenario's own: an engine whose parameters suit that stock must suit
    /// this one.
    pub fn warmup_sale(&self) -> Option<Sale> {
        let units = self.warmup_requests * u64::from(self.load.max_quantity);
        let own = self.sales.iter().map(|sale| sale.total).max().unwrap_or(0);
        let total = i64::try_from(units).unwrap_or(i64::MAX).max(own);
        (self.warmup_requests > 0).then(|| Sale {
            product_id: self.warmup_product_id(),
            total,
            price_cents: 100,
        })
    }

    pub fn record(&self) -> ScenarioRecord {
        ScenarioRecord {
            name: self.name.clone(),
            title: self.title.clone(),
            question: self.question.clone(),
            sales: self.sales.iter().map(Sale::record).collect(),
            engines: self.engines.clone(),
            load: LoadRecord {
                driver: self.driver.clone(),
                concurrency: self.load.concurrency,
                connections: self.load.connections,
                requests: self.load.requests,
                timeout_ms: self.load.timeout_ms,
                users: self.load.users,
                max_quantity: self.load.max_quantity,
                seed: self.load.seed,
                warmup_requests: self.warmup_requests,
            },
            rounds: self.rounds,
            consumer_held_back: self.consumer_held_back,
            reference: self.reference.clone(),
        }
    }
}

impl Expectations {
    /// The expectations that also hold on another stack than the one for which the bounds on speed
    /// were set.
    pub fn without_speed(&self) -> Self {
        Self {
            errors: self.errors,
            ..Self::default()
        }
    }
}

impl Sale {
    fn record(&self) -> SaleRecord {
        SaleRecord {
            product_id: self.product_id,
            total: self.total,
            price_cents: self.price_cents,
        }
    }
}
