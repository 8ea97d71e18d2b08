//! Sends the requests of the table.

use std::{net::TcpListener, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::{
    expected::{self, Got},
    table::{Entry, When, table},
};
use crate::{
    harness::{
        Server, id,
        mesh::{Kind, Shipped, Upstream, http1::Connection, port_of},
        postgres::free_port,
        token::{claims, hs256, secret_file},
    },
    mesh::{ROUTES, seeded},
};

/// What the routes of the other tests lack.
const MORE_ROUTES: &str = r#"
    [[route]]
    path = "/grpc.health.v1.Health/**"
    module = "oms_fulfillment"

    [[route]]
    path = "/shop/**"
    access = "public"
    tenant = "optional"
    token = "ignore"
"#;

/// What judges, a service, and whatever keeps them.
pub(super) struct World {
    pub server: Server,
    pub upstream: Upstream,
    _files: [tempfile::NamedTempFile; 2],
    hung: TcpListener,
}

impl World {
    pub(super) async fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[]).await
    }

    /// With more flags of the server.
    pub(super) async fn start_with(kind: Kind, more: &[&str]) -> Self {
        let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(routes.path(), format!("{ROUTES}{MORE_ROUTES}")).unwrap();
        let secret = secret_file();
        let database = seeded().await;
        database.mk_tenant(2, "paused", "suspended").await;
        let mut flags = vec!["--forward-auth-listen", "127.0.0.1:0"];
        flags.extend(["--routes", routes.path().to_str().unwrap()]);
        flags.extend(["--jwt-secret-file", secret.path().to_str().unwrap()]);
        if kind == Kind::Envoy {
            flags.extend(["--tenant-header", "x-claimed-tenant-id"]);
        }
        flags.extend(more);
        let server = Server::start_with(database, &flags).await;
        let hung = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Upstream::start().await;
        Self { server, upstream, _files: [routes, secret], hung }
    }

    pub(super) fn proxy(&self, kind: Kind, when: When) -> Shipped {
        let running = &self.server.running;
        let authorizer = match when {
            When::Served if kind.asks_over_http() => {
                port_of(running.forward_auth_address.as_ref().unwrap())
            }
            When::Served => port_of(&running.address),
            When::Gone => free_port(),
            When::Hung => self.hung.local_addr().unwrap().port(),
        };
        Shipped::start(kind, self.upstream.port, authorizer)
    }
}

/// Longer than a proxy waits for an answer to its question.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) async fn through(kind: Kind) {
    let table = table();
    let world = World::start(kind).await;
    let mut wrong = Vec::new();
    for when in [When::Served, When::Gone, When::Hung] {
        let proxy = world.proxy(kind, when);
        let entries: Vec<_> = table.requests.iter().filter(|entry| entry.when == when).collect();
        // All at once: where nobody answers, each of them takes as long as the proxy waits.
        let all = join_all(entries.iter().map(|entry| send(&proxy, entry))).await;
        for (entry, got) in entries.into_iter().zip(all) {
            let answer = table.expected(entry, kind);
            if let Err(problem) = expected::check(entry, &answer, &got) {
                wrong.push(format!("{when:?}: {}: {problem}: {got:?}", entry.claim));
            }
        }
        if !wrong.is_empty() {
            wrong.push(proxy.log());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn send(proxy: &Shipped, entry: &Entry) -> Got {
    let mut connection = Connection::open(proxy.address).await;
    let got = timeout(PATIENCE, connection.try_exchange(&bytes(entry))).await;
    let got = got.unwrap_or_else(|_| panic!("{}: no answer in {PATIENCE:?}", entry.claim));
    if got.as_ref().is_some_and(|reply| reply.status == 101) {
        let echoed = connection.upgraded(HELLO_MASKED, HELLO.len()).await;
        assert_eq!(echoed, HELLO, "{}", entry.claim);
    }
    got
}

/// The first frame of a WebSocket as a client sends it (RFC 6455, 5.7), and as a server does.
const HELLO_MASKED: &[u8] = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
const HELLO: &[u8] = b"\x81\x05Hello";

/// The request as it is sent.
pub(super) fn bytes(entry: &Entry) -> Vec<u8> {
    let Entry { send, version, headers, body, chunks, .. } = entry;
    let mut head = format!("{send} HTTP/{version}\r\n");
    if !headers.iter().any(|line| line.to_lowercase().starts_with("host:")) {
        head.push_str("Host: service.internal\r\n");
    }
    for line in headers {
        head.push_str(&format!("{}\r\n", filled(line)));
    }
    let mut content = body.clone();
    if !chunks.is_empty() {
        head.push_str("Transfer-Encoding: chunked\r\n");
        let chunked = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        content = chunked.chain(["0\r\n\r\n".to_owned()]).collect();
    } else if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    format!("{head}\r\n{content}").into_bytes()
}

/// With what only a run knows.
pub(super) fn filled(text: &str) -> String {
    let mut expired = claims(&id(1));
    expired["exp"] = (expired["exp"].as_i64().unwrap() - 7200).into();
    let words = [
        ("{own}", id(1)),
        ("{paused}", id(2)),
        ("{unknown}", id(9)),
        ("{token}", format!("Bearer {}", hs256(&claims(&id(1))))),
        ("{token-of-unknown}", format!("Bearer {}", hs256(&claims(&id(9))))),
        ("{expired}", format!("Bearer {}", hs256(&expired))),
        ("{9-KiB}", "x".repeat(9 * 1024)),
        ("{6-KiB}", "x".repeat(6 * 1024)),
        ("{100-KiB}", "x".repeat(100 * 1024)),
    ];
    words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
}
