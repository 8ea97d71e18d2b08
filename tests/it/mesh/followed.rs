//! A route map whose file changes.

use std::{fs, net::SocketAddr};

use super::seeded;
use crate::harness::{id, mesh::send_to, process::Process, until_so};

const CLOSED: &str = "path,module_code,access\n/api/v1/orders,finance,\n/health,,public\n";
const OPEN: &str = "path,module_code,access\n/api/v1/orders,oms_fulfillment,\n/health,,public\n";

async fn status(address: SocketAddr, path: &str) -> u16 {
    let headers = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", path),
        ("x-forwarded-host", "service.internal"),
        ("x-tenant-id", &id(1)),
    ];
    send_to(address, "GET", "/whatever", &headers).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_map_is_followed_and_a_broken_one_leaves_the_one_before() {
    let database = seeded().await;
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.csv");
    fs::write(&routes, CLOSED).unwrap();
    let mut server = Process::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--forward-auth-listen",
        "127.0.0.1:0",
        "--unmatched",
        "allow",
        "--routes",
        routes.to_str().unwrap(),
        "--database-url",
        &database.url,
    ]);
    let line: serde_json::Value =
        serde_json::from_str(&server.wait_for("proxies are answered over HTTP on")).unwrap();
    let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    server.wait_for("\"ready\"");
    assert_eq!(status(address, "/api/v1/orders").await, 403);

    let conflict = format!("{CLOSED}/api/v1/orders,oms_fulfillment,\n");
    let (head, _) = CLOSED.split_at(CLOSED.find('\n').unwrap() + 1);
    for (text, words) in [
        ("path,module_code,access\n/api/v1/orders,finance,nobody\n", "goes with no module"),
        (conflict.as_str(), "in it "),
        // With --unmatched allow it would open everything.
        (head, "it holds no rule any more"),
    ] {
        fs::write(&routes, text).unwrap();
        let line = server.wait_for(words);
        assert!(line.contains("--routes names"), "{line}");
        assert!(line.contains("the previous contents stay in effect"), "{line}");
        assert_eq!(status(address, "/api/v1/orders").await, 403);
    }
    fs::write(&routes, OPEN).unwrap();
    server.signal("HUP");
    server.wait_for("--routes has changed, and is in effect from now on");
    assert_eq!(status(address, "/api/v1/orders").await, 200);
    fs::remove_file(&routes).unwrap();
    server.wait_for("which cannot be read");
    assert_eq!(status(address, "/api/v1/orders").await, 200);
    fs::write(&routes, CLOSED).unwrap();
    until_so("it is closed again", async || status(address, "/api/v1/orders").await == 403).await;
}
