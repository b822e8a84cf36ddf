//! Broken copies of the engine, for the tests that see the conformance suite catch each. Outside
//! tests none exists.

/// One way to break it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Takes units without looking whether there are enough.
    SellsWithoutCheck,
    /// Gives the units of a released hold back twice.
    ReleasesTwice,
    /// Grants a buyer a second order.
    NoUserGate,
    /// Sells to buyers of other processes.
    SellsToAnybody,
    /// Never answers the want of a process that starves.
    DeafToWants,
    /// Says sold out without counting what others have idle.
    IgnoresOthers,
    /// Puts units into memory before the database has granted them.
    RefillsMemoryFirst,
    /// Keeps what it has when it stops.
    KeepsItsUnits,
    /// Gives a cancelled order's units back that the cancel has moved already.
    ForgetsCancels,
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
