//! How long steps of all sessions took.

use std::sync::{Arc, Mutex, PoisonError};

use tandem_core::measures::Measures;

/// The histograms of all sessions since the start, those that have ended among them.
#[derive(Clone, Debug, Default)]
pub struct Timings(Arc<Mutex<Measures>>);

impl Timings {
    /// Adds what a session measured.
    pub(crate) fn add(&self, measures: &Measures) {
        if !measures.is_empty() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).merge(measures);
        }
    }

    /// All until now.
    pub fn total(&self) -> Measures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
