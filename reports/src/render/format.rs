//! Numbers as people read them: thousands are grouped, units follow the figure, and a dash stands
//! for what was not measured.

/// The text of a cell for which there is no figure.
pub(super) const NOTHING: &str = "–";

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

/// Microseconds as milliseconds with two decimals.
pub fn milliseconds(us: f64) -> String {
    format!("{:.2} ms", us / 1000.0)
}

pub fn duration_s(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1u32 << 20))
}

pub(super) fn rate(per_s: f64) -> String {
    grouped(per_s.round().max(0.0) as u64)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// CPU time per order: one decimal, because single microseconds matter here.
pub(super) fn per_order(us: f64) -> String {
    format!("{us:.1}")
}

pub(super) fn or_nothing<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), show)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (12_345_678, "12,345,678"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn units_follow_the_figure() {
        assert_eq!(milliseconds(27_820.0), "27.82 ms");
        assert_eq!(mebibytes(3 << 19), "1.5 MiB");
        assert_eq!(percent(0.995), "99.5 %");
    }
}
