//! What the audit of a leg found: one entry per check, each with the expected and the actual value.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    Passed,
    Failed,
    /// The engine makes no orders (`null`), so there is nothing to check.
    NotApplicable,
}

impl AuditVerdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::NotApplicable => "not applicable",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditCheck {
    /// What is checked, as a short phrase, for example "every accepted order has exactly one row".
    pub name: String,
    /// Letter of the invariant that it belongs to, "a" to "f".
    pub invariant: String,
    pub passed: bool,
    pub expected: String,
    pub actual: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    pub verdict: AuditVerdict,
    pub checks: Vec<AuditCheck>,
}

impl AuditReport {
    pub fn not_applicable() -> Self {
        Self {
            verdict: AuditVerdict::NotApplicable,
            checks: Vec::new(),
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
        Self { verdict, checks }
    }

    pub fn failed_checks(&self) -> impl Iterator<Item = &AuditCheck> {
        self.checks.iter().filter(|check| !check.passed)
    }
}
