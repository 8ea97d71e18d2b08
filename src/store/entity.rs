//! The seven tables of the ERP's public schema, and our own record, as SeaORM entities. Private to
//! the store: no row leaves it.
//!
//! Columns whose name differs between existing databases are left out: `tenants.metadata` or
//! `tenant_metadata`, and `usage_metrics.metadata` or `metric_metadata`.
//!
//! Relations point one way, from the table that holds the key: to join in the other direction,
//! reverse one with `rev`.

pub(super) mod billing_history;
pub(super) mod entitlement_audit;
pub(super) mod feature_flags;
pub(super) mod modules;
pub(super) mod plans;
pub(super) mod tenant_subscriptions;
pub(super) mod tenants;
pub(super) mod usage_metrics;
