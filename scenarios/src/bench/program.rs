//! A binary of the system with what it says of itself, and which side of a comparison it is on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reports::result::{Build, DriverKind, Side};

use super::system_binary::{self, EngineEntry};
use super::{BenchOptions, CannotRun};
use crate::provenance::{self, ProgramKind};

/// The setting after how long an order that is not paid expires.
pub(super) const TIME_TO_PAY_S: &str = "SECKILL__ORDER__TIME_TO_PAY_S";

#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// Every engine that it knows.
    pub known: Vec<EngineEntry>,
    pub build: Build,
    /// It knows what comes after the yes: an order service, and a time to pay.
    pub has_orders: bool,
    /// The lab's own settings of the services that only some binaries have: listeners on any port.
    pub other_listeners: BTreeMap<String, String>,
    /// Only in a comparison of builds.
    pub side: Option<ProgramSide>,
}

/// The side of a binary in a comparison of builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramSide {
    pub side: Side,
    /// Number of the head, from 0.
    pub head: Option<u8>,
    /// What its subjects are called: `base`, `head`, `head fix/slow-path`.
    pub name: String,
}

/// Listeners of services that came later than those of orders and products.
const GATEWAY_LISTEN: &str = "SECKILL__GATEWAY__LISTEN";
const OTHER_LISTENERS: [&str; 3] = [
    "SECKILL__AUTH__LISTEN",
    "SECKILL__USER__LISTEN",
    GATEWAY_LISTEN,
];

/// The lab's own settings of what comes after the yes: listeners on any port, and no order expires.
pub(super) fn after_the_yes() -> BTreeMap<String, String> {
    let settings = [
        ("SECKILL__ORDER__LISTEN", "127.0.0.1:0"),
        ("SECKILL__PRODUCT__LISTEN", "127.0.0.1:0"),
        (TIME_TO_PAY_S, "0"),
    ];
    settings
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

/// Those that the binary at `path` knows.
fn other_listeners(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut known = BTreeMap::new();
    for name in OTHER_LISTENERS {
        let one = BTreeMap::from([(name.to_owned(), "127.0.0.1:0".to_owned())]);
        if system_binary::settings_refusal(path, &one)?.is_none() {
            known.extend(one);
        }
    }
    Ok(known)
}

impl Program {
    /// # Errors
    /// When the binary cannot be read or does not answer.
    pub fn at(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            path: path.to_path_buf(),
            known: system_binary::engines(path)?,
            has_orders: system_binary::settings_refusal(path, &after_the_yes())?.is_none(),
            other_listeners: other_listeners(path)?,
            build: provenance::build_of(path, ProgramKind::System)?,
            side: None,
        })
    }

    /// # Errors
    /// [`CannotRun`] when the binary refuses an engine or a setting of these options, or keeps a
    /// contract that this lab does not speak.
    pub fn check(&self, options: &BenchOptions) -> anyhow::Result<()> {
        let path = &self.path;
        let named = |refusal: String| match &self.side {
            Some(side) => CannotRun(format!("{}: {refusal}", side.name)),
            None => CannotRun(refusal),
        };
        if let Some(refusal) = provenance::contract_refusal(&self.build) {
            return Err(named(refusal).into());
        }
        if let Some(refusal) = system_binary::settings_refusal(path, &options.overrides)? {
            return Err(named(format!("--set: {refusal}")).into());
        }
        for scenario in &options.scenarios {
            let needs_orders =
                scenario.load.after.is_some() || scenario.products.time_to_pay.is_some();
            if needs_orders && !self.has_orders {
                let refusal = format!(
                    "this binary has no order service, which the scenario \"{}\" needs for [load.after] or time_to_pay",
                    scenario.name
                );
                return Err(named(refusal).into());
            }
            if scenario.uses_driver(&DriverKind::HttpFast)
                && !self.other_listeners.contains_key(GATEWAY_LISTEN)
            {
                let refusal = "this binary has no gateway, which the driver http needs";
                return Err(named(refusal.to_owned()).into());
            }
            for variant in &scenario.variants {
                let settings = variant.settings_of_roles();
                if let Some(refusal) = system_binary::settings_refusal(path, &settings)? {
                    return Err(named(format!("variant {}: {refusal}", variant.name)).into());
                }
            }
            let sales = scenario.sales();
            let smallest = sales.iter().map(|sale| sale.total).min();
            let smallest = smallest.unwrap_or(i64::MAX);
            let overrides = &options.overrides;
            if let Some(refusal) = system_binary::refusal(path, scenario, smallest, overrides)? {
                return Err(named(refusal).into());
            }
        }
        Ok(())
    }
}
