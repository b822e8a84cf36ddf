//! The section about services that fail, and when they are left alone for a while.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When the gateway stops asking a service that fails; each service is judged alone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Share of failures from which on a service is left alone, %. A refusal is no failure.
    pub failures_percent: u32,
    /// How far back answers count, ms.
    pub window_ms: u64,
    /// How long a service is left alone before one request tries it again, ms.
    pub open_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures_percent: 50,
            window_ms: 5_000,
            open_ms: 1_000,
        }
    }
}
