//! A list that counts all its items and keeps only the first few, so that the report of half a
//! million faults stays readable and takes little memory.

use reports::result::AuditCheck;
use std::fmt;

/// Most offenders that a check names.
const SHOWN_MAX: usize = 5;

#[derive(Clone, Debug, Default)]
pub(super) struct BoundedList {
    count: u64,
    shown: Vec<String>,
}

impl BoundedList {
    pub(super) fn add(&mut self, item: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(item());
        }
    }

    /// The check that passes exactly when this list of offenders is empty; `good` is its actual
    /// value then.
    pub(super) fn check(
        &self,
        name: &str,
        invariant: &str,
        expected: &str,
        good: impl fmt::Display,
    ) -> AuditCheck {
        let passed = self.count == 0;
        let actual = if passed {
            good.to_string()
        } else {
            format!("{} offending: {self}", self.count)
        };
        AuditCheck {
            name: name.into(),
            invariant: invariant.into(),
            passed,
            expected: expected.into(),
            actual,
        }
    }
}

impl fmt::Display for BoundedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown.join(", "))?;
        match self.count - self.shown.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_all_and_names_the_first_five() {
        let mut list = BoundedList::default();
        for order in 1..=7 {
            list.add(|| format!("order {order}"));
        }
        let check = list.check("lost", "b", "0 lost", "never shown");
        assert!(!check.passed);
        assert_eq!(
            check.actual,
            "7 offending: order 1, order 2, order 3, order 4, order 5 and 2 more"
        );
    }

    #[test]
    fn an_empty_list_passes_with_the_good_value() {
        let check = BoundedList::default().check("lost", "b", "0 lost", "12 of 12");
        assert!(check.passed);
        assert_eq!(check.actual, "12 of 12");
    }
}
