//! What runs in the background: receiving changes, upkeep, reading files again.

pub(crate) mod allowance;
pub(crate) mod feed;
pub(crate) mod jwks;
pub(crate) mod readiness;
pub(crate) mod reloaded_files;
pub(crate) mod upkeep;
mod waiting;
