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
    let statements = async || postgres::shared().statements(&database).await;

    let before = statements().await;
    assert!(server.check(1, "finance").await.allowed);
    assert_eq!(statements().await - before, 1, "cold");
    for module in ["finance", "hrms", "oms_fulfillment", "finance"] {
        server.check(1, module).await;
    }
    assert_eq!(statements().await - before, 1, "warm");
    server.resolve("", "acme.erp.example", "").await.unwrap();
    assert_eq!(statements().await - before, 1, "the subdomain came with the facts");
    server.check(2, "finance").await;
    server.check(2, "hrms").await;
    assert_eq!(statements().await - before, 2, "an unknown tenant is held too");
    server.resolve("", "nobody.erp.example", "").await.unwrap_err();
    server.resolve("", "nobody.erp.example", "").await.unwrap_err();
    assert_eq!(statements().await - before, 3, "and an unknown subdomain");
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
