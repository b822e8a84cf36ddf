//! The scenarios that come with the lab, which are embedded in the binary, and the user's own
//! scenario files.

use std::path::Path;

use crate::scenario::{Scenario, ScenarioError};

/// `(name, text)` in the order in which they are listed.
pub const EMBEDDED: [(&str, &str); 19] = [
    ("smoke", include_str!("../catalog/smoke.toml")),
    ("laptop", include_str!("../catalog/laptop.toml")),
    ("4c4g", include_str!("../catalog/4c4g.toml")),
    ("engines", include_str!("../catalog/engines.toml")),
    ("steady", include_str!("../catalog/steady.toml")),
    ("capacity", include_str!("../catalog/capacity.toml")),
    (
        "sold-out-storm",
        include_str!("../catalog/sold-out-storm.toml"),
    ),
    ("spike", include_str!("../catalog/spike.toml")),
    (
        "many-products",
        include_str!("../catalog/many-products.toml"),
    ),
    ("mixed", include_str!("../catalog/mixed.toml")),
    ("cancel-churn", include_str!("../catalog/cancel-churn.toml")),
    ("http", include_str!("../catalog/http.toml")),
    ("bots", include_str!("../catalog/bots.toml")),
    ("backlog", include_str!("../catalog/backlog.toml")),
    ("acks", include_str!("../catalog/acks.toml")),
    ("batching", include_str!("../catalog/batching.toml")),
    ("textbook", include_str!("../catalog/textbook.toml")),
    ("soak", include_str!("../catalog/soak.toml")),
    ("gate", include_str!("../catalog/gate.toml")),
];

/// Loads a scenario by its name in the catalog, or from a file: a name that ends in `.toml` or
/// contains a `/` is a path.
pub fn load(name: &str) -> Result<Scenario, ScenarioError> {
    if name.ends_with(".toml") || name.contains('/') {
        return from_file(Path::new(name));
    }
    let Some((name, text)) = EMBEDDED.into_iter().find(|(known, _)| *known == name) else {
        return Err(ScenarioError::Unknown {
            name: name.to_owned(),
            known: EMBEDDED.iter().map(|(name, _)| *name).collect(),
        });
    };
    Scenario::parse(name, &format!("scenarios/catalog/{name}.toml"), text)
}

/// All scenarios of the catalog, in order.
pub fn all() -> Result<Vec<Scenario>, ScenarioError> {
    EMBEDDED.iter().map(|(name, _)| load(name)).collect()
}

fn from_file(path: &Path) -> Result<Scenario, ScenarioError> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError::Unreadable {
        file: shown.clone(),
        reason: error.to_string(),
    })?;
    let name = path
        .file_stem()
        .map_or_else(|| shown.clone(), |stem| stem.to_string_lossy().into());
    Scenario::parse(&name, &shown, &text)
}
