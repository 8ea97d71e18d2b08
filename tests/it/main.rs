//! The integration tests: one binary, the real server, real databases, a real client.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a test that fails panics"
)]

mod harness;

mod abuse;
mod additions;
mod addresses;
mod admin;
mod admin_tokens;
mod adoption;
mod batch;
mod cache;
mod cache_news;
mod cache_queue;
mod cache_revalidate;
mod cache_standing;
mod calendar_rules;
mod callers;
mod change_log;
mod check;
mod client;
mod cold;
mod compression;
mod consistency;
mod container;
mod crash;
mod dashboard;
mod decision;
mod decision_log;
mod deploy;
mod edge;
mod explain;
mod far_away;
mod faults;
mod faults_harness;
mod feature_changes;
mod feature_command;
mod feature_rules;
mod feature_vectors;
mod features;
mod few_connections;
mod floors;
mod folding;
mod freshness;
mod fuzz;
mod health;
mod hostile;
mod ipv6;
mod jwks;
mod limits;
mod list;
mod log;
mod mesh;
mod metrics;
mod migration;
mod migration_locks;
mod missing_columns;
mod monitoring;
mod outage;
mod pooler;
mod probes;
mod process;
mod proxies;
mod readme;
mod reflection;
mod regions;
mod replicas;
mod resolve;
mod restore;
mod rights;
mod signed_leases;
mod state;
mod tenant_command;
mod tenant_keys;
mod tenants;
mod tls;
mod tokens;
mod tracing;
mod triggers;
mod trouble;
mod unix_sockets;
mod upgrade;
mod usage;
mod usage_adoption;
mod usage_crash;
mod usage_kept;
mod usage_leases;
mod usage_limits;
mod usage_logged;
mod usage_model;
mod usage_modules;
mod usage_months;
mod usage_nightly;
mod usage_race;
mod usage_recorded;
mod usage_rules;
mod usage_silence;
mod usage_unread;
mod usage_zones;
mod vectors;
mod watch;
