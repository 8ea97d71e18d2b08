//! The seven tables of the ERP's public schema, and our own record, as SeaORM entities. Private to the store: no row leaves it.
//!
//! Left out are the columns whose name differs between the variants in the field: `tenants.metadata` or
//! `tenant_metadata`, and `usage_metrics.metadata` or `metric_metadata`.

pub mod billing_history;
pub mod entitlement_audit;
pub mod feature_flags;
pub mod modules;
pub mod plans;
pub mod tenant_subscriptions;
pub mod tenants;
pub mod usage_metrics;
