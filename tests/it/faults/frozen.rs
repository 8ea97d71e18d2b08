//! A process that is stopped, and goes on after its feed should have been heard.

use std::time::{Duration, Instant};

use entitlementd::proto::v1::{
    CheckModuleRequest, CheckModuleResponse, entitlement_service_client::EntitlementServiceClient,
};
use tonic::transport::{Channel, Endpoint};

use crate::harness::{Database, Row, faults, process::Process, server::check_request};

/// Longer than a proof of freshness is good for: half a second, until the log is read again, and three
/// for reading it on a machine that is busy.
const FROZEN: Duration = Duration::from_secs(4);
/// Questions that wait for the process when it goes on, on so many connections.
const QUESTIONS: usize = 400;
const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(20);

type Client = EntitlementServiceClient<Channel>;

async fn check(client: &Client, request: CheckModuleRequest) -> CheckModuleResponse {
    client.clone().check_module(request).await.unwrap().into_inner()
}

fn is_marked(answer: &CheckModuleResponse) -> bool {
    answer.freshness.unwrap().stale
}

async fn until(client: &Client, such: impl Fn(&CheckModuleResponse) -> bool) {
    let started = Instant::now();
    loop {
        let answer = check(client, check_request(1, "finance")).await;
        if such(&answer) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "still {answer:?}");
    }
}

async fn nothing_revoked_is_granted_unmarked(flags: &[&str]) {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let url = ["--listen", "127.0.0.1:0", "--database-url", &database.url];
    let mut server = Process::serve(&[&url, flags].concat());
    let address = format!("http://{}", server.address());
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let channel = Endpoint::from_shared(address.clone()).unwrap().connect().await.unwrap();
        clients.push(EntitlementServiceClient::new(channel));
    }
    for client in &clients {
        until(client, |answer| answer.allowed && !is_marked(answer)).await;
    }

    faults::stop(&[server.child.id().to_string()]);
    database.execute("UPDATE tenant_subscriptions SET status = 'cancelled'").await;
    let mut asked = Vec::new();
    for number in 0..QUESTIONS {
        let client = clients[number % CONNECTIONS].clone();
        asked.push(tokio::spawn(async move { check(&client, check_request(1, "finance")).await }));
    }
    tokio::time::sleep(FROZEN).await;
    server.signal("CONT");
    for answer in asked {
        let answer = answer.await.unwrap();
        assert!(!answer.allowed || is_marked(&answer), "{answer:?}");
    }
    until(&clients[0], |answer| !answer.allowed && !is_marked(answer)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_was_frozen_grants_nothing_unmarked_that_was_revoked_meanwhile() {
    nothing_revoked_is_granted_unmarked(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_one_that_polls() {
    nothing_revoked_is_granted_unmarked(&["--changes", "poll", "--poll-interval", "100ms"]).await;
}
