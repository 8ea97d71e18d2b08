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
mod environment;
mod error;
mod feature;
mod flight;
mod gate;
mod handover;
mod held;
mod keyed;
#[cfg(feature = "tower")]
pub mod layers;
mod lease_request;
mod limit;
mod list;
#[cfg(feature = "open-feature")]
mod open_feature;
mod outage;
mod pool;
pub mod proto;
mod refusal;
mod remote;
mod signed_lease;
mod stream;
#[cfg(feature = "sea-orm")]
mod tenant_db;
mod terms;
pub mod testing;
mod usage;
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
pub use feature::{FeatureAnswer, FeatureReason};
#[cfg(feature = "tower")]
pub use layers::{CountLayer, Enforce, RequireModule, TenantLayer};
pub use lease_request::{IssuedLease, LeaseRequest, LeasedModule};
pub use limit::{
    LimitAnswer, LimitDecision, LimitEnforcement, LimitKind, LimitReason, LimitSource,
};
#[cfg(feature = "open-feature")]
pub use open_feature::OpenFeatureProvider;
pub use refusal::Refusal;
pub use serde_json::Value;
pub use signed_lease::{
    LeaseAnswer, LeaseError, LeaseFeature, LeaseKeysError, LeaseReason, LeaseVerifier, SignedLease,
};
#[cfg(feature = "sea-orm")]
pub use tenant_db::{TenantDb, TenantDbError};
pub use usage::{
    Lease, LeasedUsage, Reconciled, Reservation, ReservationGuard, Reserve, Unsettled,
    UsageCounters, UsageEvent, UsageGranularity, UsageHistory, UsageOutage, UsageOutcome,
    UsageQuery, UsageSpan,
};
