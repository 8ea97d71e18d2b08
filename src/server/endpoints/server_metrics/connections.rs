//! The metrics of connections and of the requests on them.

use super::values::{gauge, number};
use crate::{
    observability::metrics::{Sample, Value},
    server::net::tally::ConnectionTally,
};

pub(super) fn samples(connections: &ConnectionTally, in_flight: usize) -> Vec<Sample> {
    let open = connections.opened().map(|(listener, count)| (listener, number(count)));
    vec![
        Sample {
            name: "connections",
            help: "Open connections",
            value: Value::Gauges("listener", open.collect()),
        },
        Sample {
            name: "connections_refused",
            help: "Connections that were closed at once; maximum: too many are open, address: too many from there, system: it could not be accepted, mostly for want of file descriptors; displaced: an unused one was closed for a newer one",
            value: Value::Counters("reason", connections.refused()),
        },
        gauge(
            "requests_in_flight",
            "Requests that are being answered; streams, health and reflection do not count",
            in_flight,
        ),
    ]
}
