//! What is let in: deadlines, load, connections, and where it listens.

use tonic::Code;

use crate::{
    harness::{
        Database, Row, Server,
        database::{lock_tenants, wait_until_blocked},
        postgres, raw,
        server::{check_request, connect, serve_args},
    },
    on_both,
};

on_both! {
    async fn each_answer_has_a_request_id(server: Server) {
        let mut request = tonic::Request::new(check_request(1, "finance"));
        request.metadata_mut().insert("x-request-id", "abc-123".parse().unwrap());
        let answer = server.client.check_module(request).await.unwrap();
        assert_eq!(answer.metadata().get("x-request-id").unwrap(), "abc-123", "the caller's own");
        let made = |answer: &tonic::metadata::MetadataMap| answer.get("x-request-id").unwrap().to_str().unwrap().to_owned();
        let first = made(server.client.check_module(check_request(1, "finance")).await.unwrap().metadata());
        let second = made(server.client.check_module(check_request(1, "")).await.unwrap_err().metadata());
        assert_eq!((first.len(), second.len()), (16, 16));
        assert_ne!(first, second);
        for unfit in ["two words", &"x".repeat(129)] {
            let mut request = tonic::Request::new(check_request(1, "finance"));
            request.metadata_mut().insert("x-request-id", unfit.parse().unwrap());
            let answer = server.client.check_module(request).await.unwrap();
            assert_ne!(answer.metadata().get("x-request-id").unwrap(), unfit, "it would forge a log line");
        }
    }

    async fn the_callers_deadline_is_honoured(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let held = raw::check(&server.running.address, 1, "finance", &[("grpc-timeout", "10S")]).await;
        assert_eq!(held.grpc_status, Code::Ok);
        let malformed = raw::check(&server.running.address, 1, "finance", &[("grpc-timeout", "soon")]).await;
        assert_eq!(malformed.grpc_status, Code::Ok, "as if there were none");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passes_is_deadline_exceeded_whoever_set_it() {
    let server =
        Server::start_with(Database::postgres().await, &["--request-timeout", "200ms"]).await;
    let _lock = lock_tenants(&server.database).await;
    let by_caller =
        raw::check(&server.running.address, 1, "finance", &[("grpc-timeout", "50m")]).await;
    assert_eq!(
        (by_caller.grpc_status, by_caller.reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
    let by_server =
        raw::check(&server.running.address, 1, "finance", &[("grpc-timeout", "1H")]).await;
    assert_eq!(
        (by_server.grpc_status, by_server.reason.as_str()),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_limit_in_flight_is_shed_and_health_is_not() {
    let server = Server::start_with(Database::postgres().await, &["--max-in-flight", "1"]).await;
    let lock = lock_tenants(&server.database).await;
    let mut client = server.client.clone();
    let waiting =
        tokio::spawn(async move { client.check_module(check_request(1, "finance")).await });
    wait_until_blocked(&lock).await;
    let mut client = server.client.clone();
    let refused = client.check_module(check_request(2, "finance")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(crate::harness::reason_of(&refused), "OVERLOADED");
    let retry =
        tonic_types::StatusExt::get_error_details(&refused).retry_info().unwrap().retry_delay;
    assert!(retry.is_some_and(|delay| !delay.is_zero()));
    server.health("").await;
    drop(lock);
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_the_limit_are_closed() {
    let mut server =
        Server::start_unready(Database::sqlite().await, &["--max-connections", "1"]).await;
    let entitlementd::config::ListenAddress::Tcp(address) = server.running.address else {
        panic!("no address")
    };
    let mut refused = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut refused, &mut byte).await;
    assert!(matches!(read, Ok(0) | Err(_)), "it was closed");
    server.check(1, "finance").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_listens_on_a_unix_socket_and_replaces_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entitlementd.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let database = Database::sqlite().await;
    let mut args = serve_args(&database.url, &[]);
    args.instance.listen = format!("unix:{}", path.display()).parse().unwrap();
    let running = entitlementd::server::start(args.clone(), entitlementd::clock::Clock::System)
        .await
        .unwrap();
    let channel = connect(&running.address).await;
    let mut client =
        entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient::new(channel);
    client.check_module(check_request(1, "finance")).await.unwrap();

    let second = entitlementd::server::start(args, entitlementd::clock::Clock::System).await;
    assert!(
        second.unwrap_err().to_string().starts_with("--listen is unix:"),
        "a living one is not taken over"
    );
    drop(client);
    running.stop().await.unwrap();
    assert!(!path.exists(), "it is removed at the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wide_pool_is_not_needed_for_many_cold_tenants() {
    let mut server = Server::start(Database::postgres().await).await;
    for number in 0..50 {
        server.database.mk_subscribed(number, "finance", Row::default()).await;
    }
    let before = postgres::shared().statements(&server.database.name).await;
    let asking: Vec<_> = (0..500)
        .map(|caller| {
            let mut client = server.client.clone();
            tokio::spawn(
                async move { client.check_module(check_request(caller % 50, "finance")).await },
            )
        })
        .collect();
    for asked in asking {
        assert!(asked.await.unwrap().unwrap().into_inner().allowed);
    }
    let statements = postgres::shared().statements(&server.database.name).await - before;
    assert!(statements <= 50, "{statements}: one load a tenant, and those that wait together");
    server.check(1, "finance").await;
}
