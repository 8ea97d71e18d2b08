#![doc = include_str!("../README.md")]

mod answer;
mod ask;
mod bounded;
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
mod held;
mod keyed;
mod list;
pub mod proto;
mod remote;
mod stream;
pub mod testing;
mod watch;

pub use answer::{Answer, Authorized, EnabledModule, Module, Reason, Resolved, Tenant, TenantSource, TenantStatus};
pub use ask::Credentials;
pub use client::{EnabledModules, Entitlements};
pub use config::{Config, ConfigError, OnOutage};
pub use error::Error;
