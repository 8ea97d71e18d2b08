//! What a cold answer costs the database.

use crate::harness::{Database, Row, Server, postgres};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_check_costs_exactly_one_statement_and_a_warm_one_none() {
    // Nor is anything read again in the background meanwhile.
    let flags = ["--changes", "off", "--audit-rate", "0"];
    let mut server = Server::start_with(Database::postgres().await, &flags).await;
    server.database.mk_tenant(1, "acme", "active").await;
    for module in ["finance", "hrms", "marketing"] {
        server.database.mk_subscription(1, module, Row::default()).await;
    }
    let database = server.database.name.clone();
    let lines = async || postgres::shared().lines_of_statements(&database).await;
    let before = lines().await.len();
    let are_so_many = async |count: usize, what: &str| {
        let sent = lines().await.split_off(before);
        assert_eq!(sent.len(), count, "{what}: {sent:#?}");
    };
    assert!(server.check(1, "finance").await.allowed);
    are_so_many(1, "cold").await;
    for module in ["finance", "hrms", "oms_fulfillment", "finance"] {
        server.check(1, module).await;
    }
    are_so_many(1, "warm").await;
    server.resolve("", "acme.erp.example", "").await.unwrap();
    are_so_many(1, "the subdomain came with the facts").await;
    server.check(2, "finance").await;
    server.check(2, "hrms").await;
    are_so_many(2, "an unknown tenant is held too").await;
    server.resolve("", "nobody.erp.example", "").await.unwrap_err();
    server.resolve("", "nobody.erp.example", "").await.unwrap_err();
    are_so_many(3, "and an unknown subdomain").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_costs_no_statement() {
    let mut server = Server::start(Database::postgres().await).await;
    let before = postgres::shared().statements(&server.database.name).await;
    server.resolve("not-a-uuid", "acme.erp.example", "").await.unwrap_err();
    server.resolve("", "acme.erp.example", "bad").await.unwrap_err();
    server.resolve("", "acme.evil.example", "").await.unwrap_err();
    server.check_request(crate::harness::server::check_request(1, "")).await.unwrap_err();
    assert_eq!(postgres::shared().statements(&server.database.name).await, before);
}
