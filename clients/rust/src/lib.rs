#![warn(unreachable_pub)]
#![doc = include_str!("../README.md")]

mod answer;
mod ask;
#[cfg(feature = "axum")]
mod axum;
mod bounded;
mod changes;
mod client;
mod clock;
mod config;
mod convert;
mod core;
mod counters;
mod endpoints;
mod error;
mod flight;
mod gate;
mod handover;
mod held;
mod keyed;
#[cfg(feature = "tower")]
pub mod layers;
mod list;
mod outage;
pub mod proto;
mod refusal;
mod remote;
mod stream;
#[cfg(feature = "sea-orm")]
mod tenant_db;
pub mod testing;
#[cfg(test)]
mod vectors;
mod watch;

pub use answer::{
    Answer, Authorized, EnabledModule, Module, Reason, Resolved, Tenant, TenantSource, TenantStatus,
};
pub use ask::Credentials;
pub use client::{EnabledModules, Entitlements};
pub use config::{Config, ConfigError, OnOutage};
pub use error::Error;
#[cfg(feature = "tower")]
pub use layers::{Enforce, RequireModule, TenantLayer};
pub use refusal::Refusal;
#[cfg(feature = "sea-orm")]
pub use tenant_db::{TenantDb, TenantDbError};
