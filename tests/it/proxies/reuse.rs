//! Several requests over one connection.

use super::{
    expected,
    run::{World, bytes},
    table::{When, table},
};
use crate::harness::mesh::{Kind, http1::Connection};

/// Refused and granted by turns, with bodies and without.
const TURNS: [&str; 7] = [
    "a module that a tenant does not have is closed",
    "a tenant gets where its module is, and the service is told who it is",
    "a body in chunks is refused with its request",
    "a body in chunks reaches the service",
    "nobody is told to say who it is",
    "a body reaches the service",
    "what is public passes whoever asks, and the service is told of nobody",
];

pub(super) async fn through(kind: Kind) {
    let table = table();
    let world = World::start(kind).await;
    let proxy = world.proxy(kind, When::Served);
    let mut connection = Connection::open(proxy.address).await;
    for claim in TURNS {
        let entry = table.requests.iter().find(|entry| entry.claim == claim).unwrap();
        let reply = connection.try_exchange(&bytes(entry)).await;
        let checked = expected::check(entry, &table.expected(entry, kind), &reply);
        assert_eq!(checked, Ok(()), "{claim}: {reply:?}");
    }
}
