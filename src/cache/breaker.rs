//! A circuit breaker: is it any use to query the database?

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::StoreError;

/// Open while the database fails. Only what the database itself does opens it: a load that got no
/// turn in time, or a row that cannot be read, says nothing about the database.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    is_open: AtomicBool,
}

impl Breaker {
    /// Is the database failing, as far as is known?
    pub(super) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// The database has answered.
    pub(super) fn close(&self) {
        if self.is_open() {
            self.is_open.store(false, Ordering::Relaxed);
        }
    }

    /// Records how a query went. Returns whether the database has just begun to fail.
    pub(super) fn note<T>(&self, outcome: &Result<T, StoreError>) -> bool {
        match outcome {
            Err(
                StoreError::Unavailable(_) | StoreError::NoConnection(_) | StoreError::TimedOut,
            ) => !self.is_open.swap(true, Ordering::Relaxed),
            Ok(_) => {
                self.close();
                false
            }
            Err(_) => false,
        }
    }
}
