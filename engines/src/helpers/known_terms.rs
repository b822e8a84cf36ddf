//! What an engine has worked out about terms, kept for the next call.

use crate::{SaleId, Term};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A value for each of the terms that were used lately. Everything in it can be worked out again.
#[derive(Debug)]
pub struct KnownTerms<T> {
    terms_max: usize,
    terms: Mutex<HashMap<Term, Arc<T>>>,
}

impl<T> KnownTerms<T> {
    /// Remembers `terms_max` terms; before it would be one more, all are forgotten.
    pub fn new(terms_max: usize) -> Self {
        Self {
            terms_max,
            terms: Mutex::default(),
        }
    }

    /// What is known of `term`, or what `work_out` says.
    pub fn get(&self, term: &Term, work_out: impl FnOnce() -> T) -> Arc<T> {
        let mut terms = self.locked();
        if let Some(known) = terms.get(term) {
            return Arc::clone(known);
        }
        if terms.len() == self.terms_max {
            terms.clear();
        }
        let new = Arc::new(work_out());
        terms.insert(*term, Arc::clone(&new));
        new
    }

    /// Forgets every term of `sale`.
    pub fn forget(&self, sale: SaleId) {
        self.locked().retain(|term, _| term.sale != sale);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Term, Arc<T>>> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
