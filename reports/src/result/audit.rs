//! What the audit of a leg found: one entry per check, each with the expected and the actual value.

use super::open_enum::open_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

open_enum! {
    /// What the checks come to.
    AuditVerdict {
        Passed = "passed",
        Failed = "failed",
        /// The engine makes no orders (`null`), so there is nothing to check.
        NotApplicable = "not_applicable",
    }
}

impl AuditVerdict {
    /// For a table: a failure stands out.
    pub fn shown(&self) -> &str {
        match self {
            Self::Failed => "FAILED",
            Self::NotApplicable => "not applicable",
            other => other.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditCheck {
    /// What is checked, as a short phrase, for example "every accepted order has exactly one row".
    pub name: String,
    /// Letter of the invariant that it belongs to, "a" to "f".
    pub invariant: String,
    pub passed: bool,
    pub expected: String,
    pub actual: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditReport {
    pub verdict: AuditVerdict,
    pub checks: Vec<AuditCheck>,
    /// What this audit could not look at, each in one sentence; ghz, for example, tells no buyer's
    /// own outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blind_spots: Vec<String>,
}

impl AuditReport {
    pub fn not_applicable() -> Self {
        Self {
            verdict: AuditVerdict::NotApplicable,
            checks: Vec::new(),
            blind_spots: Vec::new(),
        }
    }

    /// A report with its verdict, which follows from the checks: one failed check fails the audit.
    pub fn of(checks: Vec<AuditCheck>) -> Self {
        let passed = checks.iter().all(|check| check.passed);
        let verdict = if passed {
            AuditVerdict::Passed
        } else {
            AuditVerdict::Failed
        };
        Self {
            verdict,
            checks,
            blind_spots: Vec::new(),
        }
    }

    pub fn failed_checks(&self) -> impl Iterator<Item = &AuditCheck> {
        self.checks.iter().filter(|check| !check.passed)
    }
}
