//! The examples of `docs/gateway.md`.

use super::{blocks, commands, page, section, shell};
use crate::harness::{
    Database, Row, Server, id, mesh,
    process::{self, Process},
};

const GATEWAY: &str = "docs/gateway.md";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_finds_orders_open_and_finance_closed_in_the_mesh() {
    let section = section(GATEWAY, "## In the mesh");
    let start = blocks(&section, "sh").remove(0);
    let (_, serve) = start.trim_end().rsplit_once("cargo run --release -- serve ").unwrap();
    let serve = serve.replace("127.0.0.1:50051", "127.0.0.1:0");
    let mut server = Process::serve(&serve.split(' ').collect::<Vec<_>>());
    let authorizer = server.address().rsplit_once(':').unwrap().1.parse().unwrap();
    server.wait_for("\"ready\"");
    let echo = mesh::upstream::Echo::start();
    let envoy = mesh::Shipped::start(mesh::Kind::Envoy, echo.port, authorizer);

    let shown = blocks(&section, "console");
    let shown: Vec<_> = shown.iter().filter(|block| block.starts_with("$ curl")).collect();
    assert_eq!(shown.len(), 5);
    for block in shown {
        let (command, output) = block.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let printed = shell(&command.replace("127.0.0.1:10000", &envoy.address.to_string()));
        assert_eq!(printed.trim_end(), output.trim_end(), "{command}");
    }
}

#[test]
fn what_would_be_refused_is_summed_up_as_shown() {
    let shown = commands(&page(GATEWAY), "entitlementd routes shadow-report");
    assert_eq!(shown.len(), 2);
    for (command, output) in shown {
        let printed = process::run(&command.split(' ').skip(1).collect::<Vec<_>>());
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), output);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_needs_a_feature_is_refused_as_shown() {
    let section = section(GATEWAY, "### A feature beside the module");
    let [toml, sql, json] = ["toml", "sql", "json"].map(|kind| blocks(&section, kind).remove(0));
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "growth").await;
        database.execute(&sql).await;
        let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(routes.path(), &toml).unwrap();
        let flags =
            ["--routes", routes.path().to_str().unwrap(), "--forward-auth-listen", "127.0.0.1:0"];
        let server = Server::start_with(database, &flags).await;
        let port = mesh::port_of(server.running.forward_auth_address.as_ref().unwrap());
        let own = id(1);
        let headers = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/api/v1/billing/exports/5"),
            ("x-forwarded-host", "service.internal"),
            ("x-tenant-id", &own),
        ];
        let reply = mesh::send_to(([127, 0, 0, 1], port).into(), "GET", "/", &headers).await;
        assert_eq!((reply.status, reply.body.as_str()), (403, json.trim_end()));
    }
}

#[test]
fn the_routes_shown_are_sound() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let shown = blocks(&page(GATEWAY), "toml");
    assert_eq!(shown.len(), 2);
    std::fs::write(file.path(), shown.concat()).unwrap();
    let output = process::run(&["routes", "check", "--routes", file.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}
