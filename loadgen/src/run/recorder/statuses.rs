//! How often each status was seen, by the kind of operation.

use crate::run::request::{Operation, RequestEnd};

/// Most entries in the status distribution of a thread; beyond that, statuses are counted by their
/// label, without details.
const STATUSES_MAX: usize = 32;

/// Kind of operation, label, detail, count.
type Status = (usize, &'static str, String, u64);

#[derive(Debug, Default)]
pub struct Statuses(Vec<Status>);

impl Statuses {
    /// Adds one of a kind of operation.
    pub fn count(&mut self, kind: usize, end: RequestEnd) {
        let RequestEnd {
            label, mut detail, ..
        } = end;
        let mut at = self.position(kind, label, &detail);
        if at.is_none() && self.0.len() >= STATUSES_MAX {
            detail = "…".to_owned();
            at = self.position(kind, label, &detail);
        }
        match at {
            Some(at) => self.0[at].3 += 1,
            None => self.0.push((kind, label, detail, 1)),
        }
    }

    fn position(&self, kind: usize, label: &str, detail: &str) -> Option<usize> {
        self.0.iter().position(|(its_kind, known, its_detail, _)| {
            *its_kind == kind && *known == label && its_detail == detail
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.0.iter().map(|(kind, label, detail, count)| {
            let mut name = match kind {
                0 => String::new(),
                kind => format!("{} ", Operation::name_of(*kind)),
            };
            name.push_str(label);
            if !detail.is_empty() {
                name.push_str(": ");
                name.push_str(detail);
            }
            (name, *count)
        })
    }
}
