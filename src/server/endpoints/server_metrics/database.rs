//! The metrics of the database's connections.

use super::values::{counter, gauge, number};
use crate::{
    observability::metrics::{Sample, Value},
    store::Store,
};

/// There are `most` connections to the primary at most.
pub(super) fn samples(store: &Store, most: u32) -> Vec<Sample> {
    let [open, idle] = store.connections();
    let [replicas, usable] = store.replicas();
    let connections = vec![("in_use", number(open.saturating_sub(idle))), ("idle", number(idle))];
    vec![
        Sample {
            name: "pool_connections",
            help: "Connections to the primary",
            value: Value::Gauges("state", connections),
        },
        gauge("pool_max_connections", "Connections to the primary at most", most as usize),
        counter(
            "database_connections_refused",
            "Connections that the database, or a replica, refused since there are too many: for the role, for the database, or in all",
            store.refused_connections(),
        ),
        counter(
            "advisory_lock_waits",
            "Changes of administrators that waited for over a second for an advisory lock, which another session holds",
            store.lock_waits(),
        ),
        gauge("replicas", "Replicas that loads may be read from", replicas),
        gauge("replicas_usable", "Replicas that answer and keep up", usable),
    ]
}
