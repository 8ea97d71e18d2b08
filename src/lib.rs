//! entitlementd answers one question for every service of a multi-tenant, modular ERP: may this tenant use this module
//! now?
//!
//! The floors of the house. Calls go only to the right, and `tests/it/floors.rs` sees to it:
//!
//! ```text
//! main -> app -> service -> cache -> store -> domain
//! ```

pub mod admin_tokens;
pub mod app;
pub mod cache;
pub mod callers;
pub mod clock;
pub mod complaints;
pub mod config;
pub mod count;
pub mod decision_log;
pub mod domain;
pub mod fuzz;
pub mod metrics;
pub mod proto;
pub mod routes;
pub mod service;
pub mod sha256;
pub mod shown;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod token;
