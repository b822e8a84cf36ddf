//! ghz's JSON, as far as it is of use here: fields of `runner.Report` of ghz 0.120.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer};

/// Why a run ended that was not cut short.
pub(super) const NORMAL: &str = "normal";

/// What a run came to.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    #[serde(rename = "endReason", default)]
    pub(super) end_reason: String,
    pub(super) options: Options,
    /// Finished requests.
    pub(super) count: u64,
    /// From when its connections were there until its last worker had ended.
    #[serde(rename = "total")]
    pub(super) total_ns: u64,
    #[serde(rename = "statusCodeDistribution", default)]
    pub(super) statuses: BTreeMap<String, u64>,
    /// At most the first million of them.
    #[serde(default, deserialize_with = "list_or_null")]
    pub(super) details: Vec<Detail>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub(super) concurrency: Option<u32>,
}

/// One request.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Detail {
    /// ghz notes the end.
    #[serde(rename = "timestamp", deserialize_with = "unix_ns")]
    pub(super) end_unix_ns: u64,
    #[serde(rename = "latency")]
    pub(super) latency_ns: u64,
    #[serde(rename = "status")]
    pub(super) answer: Answer,
}

impl Detail {
    pub(super) fn start_unix_ns(&self) -> u64 {
        self.end_unix_ns.saturating_sub(self.latency_ns)
    }
}

/// What a status says about the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// Accepted or refused.
    Answered,
    /// Certainly not carried out.
    Error,
    /// Perhaps carried out.
    Unknown,
}

/// Statuses, as Go spells them, that only a server gives, and by which it says that it did not carry
/// the request out.
const NOT_EXECUTED: [&str; 8] = [
    "InvalidArgument",
    "NotFound",
    "Unauthenticated",
    "ResourceExhausted",
    "PermissionDenied",
    "FailedPrecondition",
    "OutOfRange",
    "Unimplemented",
];

impl Answer {
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "OK" => Self::Answered,
            status if NOT_EXECUTED.contains(&status) => Self::Error,
            _ => Self::Unknown,
        }
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::of_status(&status))
    }
}

/// Instants in UTC: ghz is started with that time zone.
fn unix_ns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    let instant = humantime::parse_rfc3339(&text).map_err(serde::de::Error::custom)?;
    let since = instant.duration_since(SystemTime::UNIX_EPOCH);
    let since = since.map_err(serde::de::Error::custom)?;
    u64::try_from(since.as_nanos()).map_err(serde::de::Error::custom)
}

/// Go writes an empty list as null.
fn list_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Detail>, D::Error> {
    Ok(Option::<Vec<Detail>>::deserialize(deserializer)?.unwrap_or_default())
}
