//! What runs in the background: receiving changes, upkeep, reading files again.

pub(crate) mod addresses;
pub(crate) mod allowance;
pub(crate) mod change_log;
pub(crate) mod condition;
pub(crate) mod feed;
pub(crate) mod follow;
pub(crate) mod holding;
pub(crate) mod jwks;
pub(crate) mod key_files;
mod nightly;
mod obstacles;
pub(crate) mod readiness;
pub(crate) mod reload;
pub(crate) mod reloaded_files;
mod schema;
pub(crate) mod state;
mod told;
pub(crate) mod upkeep;
mod usage;
mod waiting;
