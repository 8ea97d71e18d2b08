//! Users of Envoy who hang up before they are answered. They share its connections to the server
//! with everybody else.

use std::net::SocketAddr;

use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinSet};

use crate::harness::{
    Database, Row, Server, id,
    mesh::{Kind, Shipped, Upstream, port_of, send_to},
    wire::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Wire, frame},
};

const FLAGS: [&str; 8] = [
    "--tenant-header",
    "x-claimed-tenant-id",
    "--changes",
    "off",
    "--unmatched",
    "tenant",
    "--workers",
    "1",
];

/// A user who leaves as soon as the request is sent.
async fn hang_up(envoy: SocketAddr) {
    let mut stream = TcpStream::connect(envoy).await.unwrap();
    let request =
        format!("GET /any HTTP/1.1\r\nhost: service.internal\r\nx-tenant-id: {}\r\n\r\n", id(1));
    stream.write_all(request.as_bytes()).await.unwrap();
}

/// A user who opens requests and resets each at once, all in one go.
async fn reset_at_once(envoy: SocketAddr, count: u32) {
    let mut wire = Wire::connect_to(envoy, &[]).await;
    // GET, http and / of the static table, and a host (RFC 7541).
    let block = [&[0x82, 0x86, 0x84, 0x01, 16][..], b"service.internal"].concat();
    let bytes = (0..count).flat_map(|number| {
        let stream = number * 2 + 1;
        let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    // Envoy may have had enough before the end.
    wire.send(&bytes.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_resets_behind_a_proxy_costs_nobody_else_an_answer() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let server = Server::start_with(database, &FLAGS).await;
    let upstream = Upstream::start().await;
    let envoy = Shipped::start(Kind::Envoy, upstream.port, port_of(&server.running.address));
    let address = envoy.address;
    for _ in 0..25 {
        let (mut hasty, mut patient) = (JoinSet::new(), JoinSet::new());
        hasty.spawn(reset_at_once(address, 400));
        for _ in 0..20 {
            hasty.spawn(hang_up(address));
            patient.spawn(async move {
                send_to(address, "GET", "/any", &[("x-tenant-id", &id(1))]).await.status
            });
        }
        assert_eq!(patient.join_all().await, [200; 20], "{}", envoy.log());
        hasty.join_all().await;
    }
}
