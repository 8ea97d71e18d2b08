//! What goes on beside the requests: hearing of changes, keeping things up, reading files again.

pub(crate) mod allowance;
pub(crate) mod feed;
pub(crate) mod jwks;
pub(crate) mod readiness;
pub(crate) mod reloaded_files;
pub(crate) mod upkeep;
