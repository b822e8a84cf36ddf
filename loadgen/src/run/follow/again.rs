//! How soon buyers could buy again after a cancel, as one thread has measured it.

use reports::result::{BuyAgain, HistRecorder};

#[derive(Debug, Default)]
pub struct AgainRecorder {
    hist: HistRecorder,
    pub retries: u64,
    pub gave_up: u64,
}

impl AgainRecorder {
    /// Told yes, so long after the cancel was due.
    pub fn bought(&mut self, after_ns: u64) {
        self.hist.record_ns(after_ns);
    }

    pub fn merge(&mut self, other: &Self) {
        self.hist.merge(&other.hist);
        self.retries += other.retries;
        self.gave_up += other.gave_up;
    }

    /// None where nobody has tried.
    pub fn stats(&self) -> Option<BuyAgain> {
        let tried = !self.hist.is_empty() || self.retries + self.gave_up > 0;
        tried.then(|| BuyAgain {
            hist: self.hist.to_hist(),
            retries: self.retries,
            gave_up: self.gave_up,
        })
    }
}
