//! What the program says of itself: logs, traces, metrics and the log of decisions.

pub mod complaints;
pub mod counters;
pub mod decision_log;
pub mod metrics;
pub mod telemetry;
