//! Lengths of time as people write them, on every command line and in every file of the lab.

use std::time::Duration;

/// `1.5s`, `500ms`, `250us`, `2m`, `1h`, `1m 30s`: a decimal number with its unit, or whatever else
/// `humantime` reads.
///
/// # Errors
/// One sentence that names the text and what is allowed.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    decimal(text)
        .or_else(|| humantime::parse_duration(text).ok())
        .ok_or_else(|| {
            format!(
                "{text:?} is no length of time: a number and a unit (us, ms, s, m or h) is wanted, as in 1.5s"
            )
        })
}

fn decimal(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit_s = match unit.trim_start() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * unit_s).ok()
}

/// Serializes a length as whole nanoseconds; for fields whose name ends with `_ns`.
pub mod as_ns {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(super::ns(*length))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

/// Whole nanoseconds; a length of more than 584 years counts as that.
pub fn ns(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, us) in [
            ("20s", 20_000_000),
            ("500ms", 500_000),
            ("1.5s", 1_500_000),
            ("250us", 250),
            ("2.5 ms", 2_500),
            ("1m", 60_000_000),
            ("1h", 3_600_000_000),
            ("1m 30s", 90_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_micros(us)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for text in ["20", "s", "-1s", "1.2.3s", "", "1e3s", "3 parsecs"] {
            let refused = parse_duration(text).expect_err(text);
            assert!(
                refused.starts_with(&format!("{text:?} is no length of time")),
                "{refused}"
            );
        }
    }
}
