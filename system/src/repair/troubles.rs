//! What goes wrong many times over, told in one line: a pass over thousands of sales must not write
//! thousands of them.

use std::time::{Duration, Instant};

/// At most one line of each kind in this time.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Counts failures of one kind and keeps one of them as an example.
#[derive(Debug)]
pub struct Troubles {
    what: &'static str,
    count: u64,
    example: String,
    told_at: Option<Instant>,
}

impl Troubles {
    /// `what`: in words, such as `cannot tend`.
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            count: 0,
            example: String::new(),
            told_at: None,
        }
    }

    /// One more; the first since the last report becomes the example.
    pub fn add(&mut self, example: impl std::fmt::Display) {
        if self.count == 0 {
            self.example = example.to_string();
        }
        self.count += 1;
    }

    /// Tells what there is, at the end of a pass, unless the last line is too young: then it is
    /// told with a later one.
    pub fn report(&mut self) {
        if let Some((count, example)) = self.take_due(Instant::now()) {
            tracing::warn!(count, example, "{}", self.what);
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<(u64, String)> {
        let is_young = |at: Instant| now.duration_since(at) < REPORT_EVERY;
        if self.count == 0 || self.told_at.is_some_and(is_young) {
            return None;
        }
        self.told_at = Some(now);
        let count = std::mem::take(&mut self.count);
        Some((count, std::mem::take(&mut self.example)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_failures_are_one_line_with_their_number_and_the_first_of_them() {
        let (mut troubles, start) = (Troubles::new("cannot tend"), Instant::now());
        for pass in 0..10 {
            for sale in 0..10_000 {
                troubles.add(format!("sale {sale}"));
            }
            let told = troubles.take_due(start + REPORT_EVERY / 20 * pass);
            let first = (pass == 0).then(|| (10_000, "sale 0".to_owned()));
            assert_eq!(told, first, "pass {pass}");
        }
        let told = troubles.take_due(start + REPORT_EVERY);
        assert_eq!(told, Some((90_000, "sale 0".to_owned())));
        assert_eq!(troubles.take_due(start + REPORT_EVERY * 2), None);
    }
}
