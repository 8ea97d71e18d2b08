//! What instances hold, as messages: for the files in which they keep it, and for each other.
//!
//! Each type of the domain is taken apart field by field, so that one that gets a field more does not
//! compile until that travels too. What cannot be read back is an error that names the field, never a
//! default: a right that nobody gave would come of it.

mod catalogue;
mod facts;
mod key;
mod shared;
#[cfg(test)]
mod tests;
mod value;

use thiserror::Error;

pub use self::{
    catalogue::{catalogue, catalogue_of},
    facts::{facts, facts_of},
    key::{tenant_key, tenant_key_of},
    shared::Shared,
    value::{instant, instant_of, required_instant},
};

/// A message that cannot be read back.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{field} {problem}")]
pub struct Unreadable {
    /// The field, as the proto has it: `Subscription.status`.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Unreadable {
    const fn new(field: &'static str, problem: &'static str) -> Self {
        Self { field, problem }
    }

    /// A field that is always there is not.
    pub const fn missing(field: &'static str) -> Self {
        Self::new(field, "is missing")
    }

    const fn unknown(field: &'static str) -> Self {
        Self::new(field, "has a value that is not known here")
    }
}
