//! grpc.health.v1, as its text has it.

use futures_util::FutureExt;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    admin::{self, Admin},
    harness::{Database, Server, reason_of, server::connect},
};

const UNKNOWN: &str = "entitlement.v1.NoSuchService";

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// Whatever was sent on this connection before has arrived.
async fn round_trip(health: &mut HealthClient<Channel>) {
    health.check(of("")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_an_unknown_service_is_told_so_and_stays_until_the_end() {
    let admin = Admin::of(Database::sqlite().await, &[]).await;
    let listeners = [admin.server.running.address.clone(), admin::address(&admin.server)];
    let mut watches = Vec::new();
    for listener in &listeners {
        let mut health = HealthClient::new(connect(listener).await);
        let mut watch = health.watch(of(UNKNOWN)).await.unwrap().into_inner();
        let told = watch.message().await.unwrap().unwrap();
        assert_eq!(told.status(), ServingStatus::ServiceUnknown);
        round_trip(&mut health).await;
        assert!(watch.message().now_or_never().is_none(), "it stays");
        let refused = health.check(of(UNKNOWN)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        watches.push(watch);
    }
    admin.server.running.stop().await.unwrap();
    for mut watch in watches {
        assert!(watch.message().await.unwrap().is_none(), "it ends well");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_a_known_service_is_told_the_last_word_before_the_end() {
    let server = Server::start(Database::sqlite().await).await;
    let mut watches = Vec::new();
    for name in ["", "entitlement.v1.EntitlementService"] {
        let mut health = HealthClient::new(connect(&server.running.address).await);
        let mut watch = health.watch(of(name)).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        round_trip(&mut health).await;
        assert!(watch.message().now_or_never().is_none(), "nothing is said twice");
        watches.push(watch);
    }
    server.running.stop().await.unwrap();
    for mut watch in watches {
        let last = watch.message().await.unwrap().unwrap();
        assert_eq!(last.status(), ServingStatus::NotServing);
        assert!(watch.message().await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_has_come_of_age_is_not_held_by_those_who_watch_health() {
    let server =
        Server::start_with(Database::sqlite().await, &["--max-connection-age", "1s"]).await;
    let mut health = HealthClient::new(connect(&server.running.address).await);
    let mut watch = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert!(watch.message().await.unwrap().is_none(), "it may watch on another connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_most_as_many_watch_health_as_there_may_be_connections() {
    let server = Server::start_unready(Database::sqlite().await, &["--max-connections", "2"]).await;
    let mut health = HealthClient::new(connect(&server.running.address).await);
    let mut watches = Vec::new();
    for name in ["", UNKNOWN] {
        let mut watch = health.watch(of(name)).await.unwrap().into_inner();
        watch.message().await.unwrap().unwrap();
        watches.push(watch);
    }
    let refused = health.watch(of("")).await.unwrap_err();
    assert_eq!((refused.code(), &*reason_of(&refused)), (Code::ResourceExhausted, "OVERLOADED"));
    round_trip(&mut health).await;
    drop(watches);
    while let Err(refused) = health.watch(of("")).await {
        assert_eq!(refused.code(), Code::ResourceExhausted);
        tokio::task::yield_now().await;
    }
}
