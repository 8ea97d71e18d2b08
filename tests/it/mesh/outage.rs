//! What proxies make of an authorizer that is away, and of one whose database is.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Parser;
use entitlementd::config::{Cli, Command};

use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Kind, Mesh, ROUTES, seeded};
use crate::{
    harness::{
        Database, Row, Server, id,
        mesh::{self, Shipped, Upstream, port_of, send_to},
        postgres,
        proxy::Proxy,
    },
    on_both_proxies,
};

const FLAGS: [&str; 6] =
    ["--tenant-header", "x-claimed-tenant-id", "--changes", "off", "--unmatched", "tenant"];

struct World {
    server: Server,
    network: Proxy,
    upstream: Upstream,
}

impl World {
    async fn start() -> Self {
        let database = Database::sqlite().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let server = Server::start_with(database, &FLAGS).await;
        let network = Proxy::to(port_of(&server.running.address)).await;
        Self { server, network, upstream: Upstream::start().await }
    }

    fn envoy(&self, changes: &[(&str, &str)]) -> Shipped {
        let (upstream, authorizer) = (self.upstream.port, self.network.port());
        Shipped::start_changed(mesh::Kind::Envoy, upstream, authorizer, changes)
    }
}

async fn status(envoy: &Shipped) -> u16 {
    send_to(envoy.address, "GET", "/any", &[("x-tenant-id", &id(1))]).await.status
}

/// Asks until the answer is as wanted.
async fn until(envoy: &Shipped, wanted: u16) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let status = status(envoy).await;
        if status == wanted {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{status} instead of {wanted}: {}",
            envoy.log()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nobody_can_judge_nobody_passes_and_afterwards_everybody_does() {
    let world = World::start().await;
    let envoy = world.envoy(&[]);
    until(&envoy, 200).await;

    // Hung: neither side learns of anything.
    world.network.black_hole();
    assert_eq!(status(&envoy).await, 503);
    world.network.let_through();
    world.network.cut().await;
    until(&envoy, 200).await;

    // Gone, and back at another port.
    let World { server, network, upstream: _upstream } = world;
    let database = server.database;
    server.running.stop().await.unwrap();
    until(&envoy, 503).await;
    let server = Server::start_with(database, &FLAGS).await;
    network.point_at(port_of(&server.running.address));
    until(&envoy, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_lets_requests_pass_brings_none_of_a_clients_own_headers() {
    let world = World::start().await;
    let envoy = world.envoy(&[("failure_mode_allow: false", "failure_mode_allow: true")]);
    until(&envoy, 200).await;
    world.network.black_hole();
    let own = id(1);
    let spoofed = [
        ("x-tenant-id", own.as_str()),
        ("x-tenant-schema", "tenant_other"),
        ("x-tenant-verified", "true"),
    ];
    let reply = envoy.send("GET", "/any", &spoofed).await;
    for (header, _) in spoofed {
        assert_eq!(reply.seen(header), "", "{header}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_who_hang_up_fail_nobody_elses_requests() {
    const HASTY: usize = 100;
    let world = World::start().await;
    let envoy = world.envoy(&[]);
    until(&envoy, 200).await;
    for _ in 0..5 {
        // What Envoy asks on their behalf waits on the way, and then comes together with that they
        // are gone.
        world.network.black_hole();
        let hasty = (0..HASTY).map(async |_| {
            let mut user = TcpStream::connect(envoy.address).await.unwrap();
            let request = format!("GET /any HTTP/1.1\r\nhost: a\r\nx-tenant-id: {}\r\n\r\n", id(1));
            user.write_all(request.as_bytes()).await.unwrap();
            // It was read: Envoy has asked before it learns that nobody is there any more.
            _ = timeout(Duration::from_millis(20), user.read_u8()).await;
        });
        join_all(hasty).await;
        world.network.let_through();
        let patient = join_all((0..40).map(|_| status(&envoy))).await;
        assert_eq!(patient, [200; 40], "{}", envoy.log());
    }
}

on_both_proxies! {
    async fn a_database_that_hangs_is_told_of_and_what_is_held_is_answered(kind: Kind) {
        let database = seeded().await;
        for tenant in 2..=6 {
            database.mk_tenant(tenant, &format!("tenant-{tenant}"), "active").await;
        }
        let network = Proxy::to(postgres::shared().port()).await;
        let url = format!("postgres://postgres@127.0.0.1:{}/{}", network.port(), database.name);
        let mesh = Mesh::with_routes(kind, database.by_way_of(url).await, ROUTES, &[]).await;
        let get = async |tenant: u32| {
            let own = id(tenant);
            mesh.get("/api/v1/me", &[("x-tenant-id", &own)]).await
        };
        assert_eq!(get(1).await.status, 200);
        network.black_hole();
        for tenant in 2..=6 {
            let reply = get(tenant).await;
            assert_eq!((reply.status, reply.reason().as_str()), (503, "STORE_UNAVAILABLE"), "{reply:?}");
            assert!(reply.head.contains("\r\nretry-after: 1"), "{reply:?}");
        }
        assert_eq!(get(1).await.status, 200);
        network.let_through();
        network.cut().await;
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while get(2).await.status != 200 {
            assert!(std::time::Instant::now() < deadline, "{}", mesh.log());
        }
    }
}

/// How long the server may wait for its database, unless it is told otherwise.
fn may_take() -> Duration {
    let Command::Serve(args) = Cli::try_parse_from(["entitlementd", "serve"]).unwrap().command
    else {
        panic!("not serve");
    };
    args.pool.database_acquire_timeout.std() + args.pool.database_statement_timeout.std()
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

#[test]
fn every_shipped_proxy_waits_longer_than_the_server_may_wait_for_its_database() {
    let (may_take, deploy) = (may_take(), deploy());
    // Where each file says how long the answer to a question may take, in seconds.
    for (file, before, count) in [
        ("envoy/envoy.yaml", "\n                timeout: ", 1),
        ("nginx/nginx.conf", "proxy_read_timeout ", 2),
        ("traefik/dynamic.yaml", "responseHeaderTimeout: ", 1),
        ("caddy/Caddyfile", "response_header_timeout ", 1),
        ("haproxy/haproxy.cfg", "timeout server ", 2),
        ("istio/mesh-config.yaml", "\n      timeout: ", 2),
        ("ingress-nginx/ingress.yaml", "proxy_read_timeout ", 1),
    ] {
        let text = fs::read_to_string(deploy.join(file)).unwrap();
        let spans: Vec<u64> = text
            .split(before)
            .skip(1)
            .map(|rest| {
                rest.split('s').next().unwrap().parse().unwrap_or_else(|_| panic!("{file}: {rest}"))
            })
            .collect();
        assert_eq!(spans.len(), count, "{file}");
        assert!(
            spans.iter().all(|span| Duration::from_secs(*span) > may_take),
            "{file}: {spans:?}"
        );
    }
}

/// Files in a folder, at any depth.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.map(|path| if path.is_dir() { files_in(&path) } else { vec![path] });
    files.flatten().collect()
}

#[test]
fn what_is_shipped_gives_up_no_try_that_the_server_may_still_answer() {
    let (may_take, deploy) = (may_take().as_secs_f64(), deploy());
    // As Envoy and Istio write it down that a question is asked again.
    let is_asked_again = |file: &PathBuf| {
        let text = fs::read_to_string(file).unwrap();
        ["retry_policy", "retryPolicy", "perTry", "per_try", "retries:"]
            .iter()
            .any(|word| text.contains(word))
    };
    let mut files: Vec<_> = files_in(&deploy).into_iter().filter(is_asked_again).collect();
    files.sort();
    let known = [
        "envoy/edge.yaml",
        "envoy/envoy.yaml",
        "kubernetes/edge/envoy/envoy.yaml",
        "kubernetes/sidecar/envoy.yaml",
    ];
    assert_eq!(files, known.map(|it| deploy.join(it)));
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (timeout, one_try) =
            (seconds(&text, "\n                timeout: "), seconds(&text, "max_interval: "));
        assert!(one_try >= may_take, "{file:?}: a try ends after {one_try} s");
        // Where the first instance hangs, another one has as long as it may need. Envoy asks for a
        // sign of life up to 15 % later than it is told.
        let (_, alive) = text.split_once("connection_keepalive: ").unwrap();
        let noticed = seconds(alive, "interval: ") * 1.15 + seconds(alive, "timeout: ");
        assert!(
            timeout > noticed + may_take,
            "{file:?}: {noticed} s of {timeout} s until it is noticed"
        );
    }
}

/// How long it says after this word first.
fn seconds(text: &str, word: &str) -> f64 {
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("no {word:?}"));
    rest.split('s').next().unwrap().parse().unwrap_or_else(|_| panic!("after {word:?}: {rest}"))
}
