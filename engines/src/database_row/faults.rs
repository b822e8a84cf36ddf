//! Broken copies of the engine, for the tests that see the conformance suite catch each. Outside
//! tests none exists.

/// One way to break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reads the stock row without locking it: tests and marks, counts and writes are no longer one
    /// step.
    LocksNothing,
    /// Takes units without looking whether there are enough.
    SellsWithoutCheck,
    /// Sells to those who came too late.
    SellsToTheLate,
    /// Grants a buyer a second order.
    NoUserGate,
    /// Touches a hold that is being voided.
    TouchesTheMarked,
    /// Does not remember who touched a hold.
    ForgetsWhoTouched,
    /// Gives the units back but keeps the gate.
    ReleasesTwice,
    /// Releases whatever order the user has.
    ReleasesAnyOrder,
    /// Gives units back when an order is settled.
    SettlesIntoStock,
    /// Marks holds whatever their age.
    MarksTheYoung,
    /// Loads the same term again.
    OpensTheSameAgain,
    /// Loads an epoch that is not newer.
    OpensTheOlder,
    /// Sells under any nonce.
    SellsUnderAnyNonce,
    /// Opens without those who have bought already.
    LoadsNoBuyers,
}

/// The fault in effect, if any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    #[cfg(test)]
    pub only: Option<Fault>,
}

impl Faults {
    /// Never, outside tests.
    #[inline(always)]
    pub fn has(self, fault: Fault) -> bool {
        #[cfg(test)]
        return self.only == Some(fault);
        #[cfg(not(test))]
        {
            let _ = fault;
            false
        }
    }
}
