//! entitlementd answers one question for every service of a multi-tenant, modular ERP: may this
//! tenant use this module now?
//!
//! The layers. Calls go only to the right, which `tests/it/floors.rs` checks:
//!
//! ```text
//! main -> cli -> server -> service -> cache -> store -> domain
//! ```

#![warn(unreachable_pub)]

pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
mod escape;
pub mod fuzz;
mod observability;
pub mod proto;
pub mod routes;
pub mod security;
pub mod server;
mod service;
pub mod store;
pub mod upstream;
pub mod usage;
pub mod wire;
