//! Connections that are open or refused, and requests in flight.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use entitlementd::config::ListenAddress;
use tokio::net::{TcpSocket, TcpStream};

use super::SHOWN;
use crate::{
    admin::{self, Admin},
    harness::{
        Database, Server,
        database::lock_tenants,
        http::{Metrics, read_to_end},
        logged::Logged,
        server::check_request,
    },
};

fn tcp(address: &ListenAddress) -> SocketAddr {
    let ListenAddress::Tcp(address) = address else { panic!("{address}") };
    *address
}

/// A connection from an address of this machine, on which nothing is said.
async fn silent_from(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((IpAddr::V4(Ipv4Addr::from(from)), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

fn open(metrics: &Metrics, listener: &str) -> f64 {
    metrics.of(&format!("connections{{listener=\"{listener}\"}}"))
}

fn refused(metrics: &Metrics, reason: &str) -> f64 {
    metrics.of(&format!("connections_refused_total{{reason=\"{reason}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_are_counted_by_listener_while_they_last() {
    let flags = [&SHOWN[..], &["--forward-auth-listen", "127.0.0.1:0"]].concat();
    let server = Server::start_with(Database::sqlite().await, &flags).await;
    // The client's. That which waited until the server was ready is closed.
    server.until_metrics(|metrics| open(metrics, "data") == 1.0).await;
    let data = tcp(&server.running.address);
    let proxies = tcp(server.running.forward_auth_address.as_ref().unwrap());
    let own = [127, 0, 0, 1];
    let held = [silent_from(own, data).await, silent_from(own, data).await];
    let asking = silent_from(own, proxies).await;
    server
        .until_metrics(|metrics| {
            (open(metrics, "data"), open(metrics, "forward_auth")) == (3.0, 1.0)
        })
        .await;
    let metrics = server.metrics().await;
    assert_eq!((open(&metrics, "admin"), open(&metrics, "metrics")), (0.0, 1.0), "its own");
    drop((held, asking));
    server
        .until_metrics(|metrics| {
            open(metrics, "data") == 1.0 && open(metrics, "forward_auth") == 0.0
        })
        .await;
    for reason in ["maximum", "address", "displaced", "system"] {
        assert_eq!(refused(&server.metrics().await, reason), 0.0, "{reason}");
    }
}

// On one thread, whose lines are kept.
#[tokio::test]
async fn refused_connections_are_counted_by_reason_and_logged_once_a_second() {
    const TIMES: u8 = 40;
    let logged = Logged::start();
    let limits = ["--max-connections", "4", "--max-connections-per-address", "3"];
    let flags = [&SHOWN[..], &limits].concat();
    let began = Instant::now();
    // The client's is the first.
    let server = Server::start_unready(Database::sqlite().await, &flags).await;
    let data = tcp(&server.running.address);
    let mut held = Vec::new();
    for from in [[127, 0, 0, 1], [127, 0, 0, 1], [127, 0, 0, 2]] {
        held.push(silent_from(from, data).await);
    }
    server.until_metrics(|metrics| open(metrics, "data") == 4.0).await;
    for _ in 0..TIMES {
        for from in [[127, 0, 0, 1], [127, 0, 0, 2]] {
            assert_eq!(read_to_end(&mut silent_from(from, data).await).await, "");
        }
    }
    let metrics = server.metrics().await;
    let times = f64::from(TIMES);
    assert_eq!((refused(&metrics, "address"), refused(&metrics, "maximum")), (times, times));
    assert_eq!(open(&metrics, "data"), 4.0);
    let at_most = 1 + began.elapsed().as_secs();
    let text = logged.text();
    let lines: Vec<_> = text
        .lines()
        .filter(|line| line.contains("a connection was closed") && !line.contains("DEBUG"))
        .collect();
    assert!((1..=at_most).contains(&(lines.len() as u64)), "{lines:?}");
    assert!(lines[0].contains("listener=\"data\""), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_give_way_to_newer_ones_are_counted_too() {
    let admin = Admin::of(Database::sqlite().await, &SHOWN).await;
    let server = &admin.server;
    let mut held = Vec::new();
    // One more than there may be from an address, with that of the client's.
    for _ in 0..32 {
        held.push(silent_from([127, 0, 0, 1], tcp(&admin::address(server))).await);
    }
    server.until_metrics(|metrics| refused(metrics, "displaced") == 1.0).await;
    server.until_metrics(|metrics| open(metrics, "admin") == 32.0).await;
    for _ in 0..65 {
        held.push(silent_from([127, 0, 0, 1], server.running.metrics_address.unwrap()).await);
    }
    // The one that asks displaces another.
    server.until_metrics(|metrics| refused(metrics, "displaced") >= 3.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_in_flight_until_they_are_answered() {
    let flags = [&SHOWN[..], &["--changes", "off"]].concat();
    let server = Server::start_with(Database::postgres().await, &flags).await;
    assert_eq!(server.metrics().await.of("requests_in_flight"), 0.0, "health does not count");
    let lock = lock_tenants(&server.database).await;
    let asking: Vec<_> = (0..2)
        .map(|_| {
            let mut client = server.client.clone();
            // Again where the server's patience ends before this test comes to look.
            tokio::spawn(async move {
                loop {
                    _ = client.check_module(check_request(1, "finance")).await;
                }
            })
        })
        .collect();
    server.until_metrics(|metrics| metrics.of("requests_in_flight") == 2.0).await;
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    server.until_metrics(|metrics| metrics.of("requests_in_flight") == 0.0).await;
    drop(lock);
}
