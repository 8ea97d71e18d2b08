//! What each listener answers.

pub(crate) mod admin;
pub(crate) mod data;
pub(crate) mod forward_auth;
pub(crate) mod probes;
pub(crate) mod reflection;
pub(crate) mod server_metrics;
