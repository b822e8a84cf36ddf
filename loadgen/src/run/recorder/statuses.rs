//! How often each status was seen.

use crate::run::request::RequestEnd;

/// Most entries in the status distribution of a thread; beyond that, statuses are counted by their
/// label, without details.
const STATUSES_MAX: usize = 32;

/// Label, detail, count.
type Status = (&'static str, String, u64);

#[derive(Debug, Default)]
pub struct Statuses(Vec<Status>);

impl Statuses {
    pub fn count(&mut self, end: RequestEnd) {
        let RequestEnd {
            label, mut detail, ..
        } = end;
        let mut at = self.position(label, &detail);
        if at.is_none() && self.0.len() >= STATUSES_MAX {
            detail = "…".to_owned();
            at = self.position(label, &detail);
        }
        match at {
            Some(at) => self.0[at].2 += 1,
            None => self.0.push((label, detail, 1)),
        }
    }

    fn position(&self, label: &str, detail: &str) -> Option<usize> {
        self.0
            .iter()
            .position(|(known, its_detail, _)| *known == label && its_detail == detail)
    }

    pub fn iter(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.0.iter().map(|(label, detail, count)| {
            let name = match detail.is_empty() {
                true => (*label).to_owned(),
                false => format!("{label}: {detail}"),
            };
            (name, *count)
        })
    }
}
