//! What the program reports about itself: logs, traces, metrics and the decision log.

pub(crate) mod counters;
pub(crate) mod decision_log;
pub(crate) mod log_limiter;
pub(crate) mod metrics;
pub(crate) mod sampler;
pub(crate) mod telemetry;
pub(crate) mod trace_sampling;
