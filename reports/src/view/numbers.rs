//! Numbers as people read them: three significant digits, thousands grouped, the unit behind a
//! space that does not break, and a dash for what was not measured. Counts are exact.

use crate::result::Metric;

/// What stands where there is no figure.
pub(super) const NOTHING: &str = "–";
const SIGNIFICANT: i32 = 3;

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits: `54,000`, `16.7`, `0.0123`, `-2.00`.
pub fn significant(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    let rounded = |magnitude: i32| {
        let step = 10f64.powi(magnitude - SIGNIFICANT + 1);
        (value / step).round() * step
    };
    // Rounding may reach the next power of ten, as 99.96 does.
    let magnitude = value.log10().floor() as i32;
    let rounded = rounded(magnitude);
    let magnitude = magnitude.max((rounded * (1.0 + f64::EPSILON)).log10().floor() as i32);
    let decimals = SIGNIFICANT - 1 - magnitude;
    if decimals <= 0 {
        format!("{sign}{}", grouped(rounded.round() as u64))
    } else {
        format!("{sign}{rounded:.*}", decimals.min(6) as usize)
    }
}

/// `16.7 ms`, and from one second on `1.23 s`.
pub(super) fn ms(ms: f64) -> String {
    if ms >= 1_000.0 {
        format!("{}\u{a0}s", significant(ms / 1e3))
    } else {
        format!("{}\u{a0}ms", significant(ms))
    }
}

pub(super) fn ns(ns: u64) -> String {
    ms(ns as f64 / 1e6)
}

pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // 99.97 % must not look like all of them.
    let decimals = match percent {
        percent if percent == 0.0 || percent == 100.0 => 0,
        percent if !(1.0..=99.0).contains(&percent) => 2,
        _ => 1,
    };
    format!("{percent:.decimals$}\u{a0}%")
}

pub(super) fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    let (unit, size) = [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .map(|(unit, shift)| (unit, f64::from(1u32 << shift)))
        .find(|(_, size)| bytes >= *size)
        .unwrap_or(("B", 1.0));
    format!("{}\u{a0}{unit}", significant(bytes / size))
}

/// `3.13×`.
pub(super) fn times(ratio: f64) -> String {
    format!("{}×", significant(ratio))
}

pub(super) fn or_nothing<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), show)
}

/// A metric's value in its unit.
pub(super) fn of_metric(metric: &Metric, value: f64) -> String {
    match metric.unit {
        "" if metric.id.ends_with("_share") => percent(value),
        "" => grouped(value.round().max(0.0) as u64),
        "ms" => ms(value),
        "1/s" => format!("{}/s", significant(value)),
        unit => format!("{}\u{a0}{unit}", significant(value)),
    }
}

/// `1 round`, `5 rounds`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{}\u{a0}{noun}{ending}", grouped(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count_and_thousands_are_grouped() {
        for (value, text) in [
            (0.0, "0"),
            (0.000_912, "0.000912"),
            (0.8121, "0.812"),
            (9.996, "10.0"),
            (14.22, "14.2"),
            (99.96, "100"),
            (999.6, "1,000"),
            (54_019.0, "54,000"),
            (1_234_567.0, "1,230,000"),
            (-2.0, "-2.00"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(significant(value), text, "{value}");
        }
    }

    #[test]
    fn units_follow_the_figure() {
        assert_eq!(ms(27.82), "27.8\u{a0}ms");
        assert_eq!(ms(1_234.0), "1.23\u{a0}s");
        assert_eq!(bytes(3 << 19), "1.50\u{a0}MiB");
        assert_eq!(bytes(512), "512\u{a0}B");
        assert_eq!(counted(1, "round"), "1\u{a0}round");
        assert_eq!(counted(1_200, "order"), "1,200\u{a0}orders");
    }

    #[test]
    fn nearly_all_does_not_look_like_all() {
        for (share, text) in [
            (1.0, "100\u{a0}%"),
            (0.9997, "99.97\u{a0}%"),
            (0.5, "50.0\u{a0}%"),
            (0.0002, "0.02\u{a0}%"),
            (0.0, "0\u{a0}%"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
