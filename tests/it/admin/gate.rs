//! Who is admitted.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use entitlementd::{
    domain::{Role, limits::MAX_FAILURES_A_MINUTE},
    proto::v1::{
        CheckModuleRequest, CheckSubdomainRequest,
        entitlement_service_client::EntitlementServiceClient,
        tenant_admin_service_client::TenantAdminServiceClient,
    },
};
use tonic::{Code, Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{Admin, address, with_token};
use crate::{
    harness::{
        Database,
        process::run,
        server::{connect, reason_of},
    },
    metrics::SHOWN,
};

fn question() -> CheckSubdomainRequest {
    CheckSubdomainRequest { subdomain: "testcompany".into() }
}

async fn refused(admin: &mut Admin, request: Request<CheckSubdomainRequest>) -> (Code, String) {
    let status: Status = admin.client.check_subdomain(request).await.unwrap_err();
    (status.code(), reason_of(&status))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_admitted_without_a_token_that_is_known() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    let unauthenticated = (Code::Unauthenticated, "CALLER_UNAUTHENTICATED".to_owned());
    let known = admin.tokens[0].clone();
    let mut two_headers = with_token(question(), &known);
    two_headers.metadata_mut().append("authorization", format!("Bearer {known}").parse().unwrap());
    let mut basic = Request::new(question());
    basic.metadata_mut().insert("authorization", format!("Basic {known}").parse().unwrap());
    for request in [
        Request::new(question()),
        with_token(question(), ""),
        with_token(question(), &known[..known.len() - 1]),
        with_token(question(), &format!("{known} ")),
        basic,
        two_headers,
    ] {
        let shown = format!("{:?}", request.metadata());
        assert_eq!(refused(&mut admin, request).await, unauthenticated, "{shown}");
    }
    for role in Role::ALL {
        let request = admin.by(role, question());
        admin.client.check_subdomain(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tokens_are_answered_a_few_times_a_minute_and_lock_nobody_out() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    for _ in 0..MAX_FAILURES_A_MINUTE {
        assert_eq!(refused(&mut admin, with_token(question(), "x")).await.0, Code::Unauthenticated);
    }
    let too_many = (Code::ResourceExhausted, "TOO_MANY_FAILURES".to_owned());
    assert_eq!(refused(&mut admin, with_token(question(), "x")).await, too_many);
    let known = admin.by(Role::Viewer, question());
    admin.client.check_subdomain(known).await.unwrap();
    admin.server.advance(60);
    assert_eq!(refused(&mut admin, with_token(question(), "x")).await.0, Code::Unauthenticated);
}

/// Asks until it is so: the file is looked at every second.
async fn until_admitted(admin: &mut Admin, token: &str, wanted: bool) {
    let started = Instant::now();
    while admin.client.check_subdomain(with_token(question(), token)).await.is_ok() != wanted {
        assert!(started.elapsed() < Duration::from_secs(20), "still not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_read_again_when_it_changes() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    let (file, [viewer, operator, _]) = (admin.file(), admin.tokens.clone());
    let path = file.to_str().unwrap();
    let made = run(&["token", "new", "alice", "--role", "viewer", "--admin-tokens-file", path]);
    let alice = String::from_utf8(made.stdout).unwrap().trim_end().to_owned();
    until_admitted(&mut admin, &alice, true).await;

    let lines = fs::read_to_string(&file).unwrap();
    let without_viewer: String =
        lines.split_inclusive('\n').filter(|line| !line.starts_with("viewer ")).collect();
    fs::write(&file, without_viewer).unwrap();
    until_admitted(&mut admin, &viewer, false).await;

    // One that cannot be read changes nothing; what comes after it does.
    fs::write(&file, "nonsense\n").unwrap();
    until_admitted(&mut admin, &operator, true).await;
    fs::write(&file, "").unwrap();
    until_admitted(&mut admin, &operator, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_answers_its_own_service_and_health_needs_no_token() {
    let admin = Admin::of(Database::sqlite().await, &[]).await;
    let ours = connect(&address(&admin.server)).await;
    let health =
        HealthClient::new(ours.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status, 1);
    let error = EntitlementServiceClient::new(ours)
        .check_module(CheckModuleRequest::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    let others = connect(&admin.server.running.address).await;
    let request = admin.by(Role::Owner, question());
    let error = TenantAdminServiceClient::new(others).check_subdomain(request).await.unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
}

#[test]
fn it_does_not_start_where_anybody_would_be_admitted_or_overheard() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let [empty, broken] = [file("empty", "# nobody yet\n"), file("broken", "alice owner\n")];
    let good = file("good", &format!("alice owner {}\n", "0".repeat(64)));
    let missing = Path::new(&good).with_file_name("missing").to_str().unwrap().to_owned();
    for (flags, complaint) in [
        (vec!["--admin-listen", "127.0.0.1:0"], "--admin-listen needs --admin-tokens-file"),
        (
            vec!["--admin-listen", "127.0.0.1:0", "--admin-tokens-file", &missing],
            "which cannot be read",
        ),
        (
            vec!["--admin-listen", "127.0.0.1:0", "--admin-tokens-file", &empty],
            "which holds no token",
        ),
        (
            vec!["--admin-listen", "127.0.0.1:0", "--admin-tokens-file", &broken],
            "line 1: expected NAME ROLE SHA256",
        ),
        (
            vec!["--admin-listen", "0.0.0.0:0", "--admin-tokens-file", &good],
            "accept with --insecure=admin",
        ),
    ] {
        let output = run(&[&["serve", "--demo", "--listen", "127.0.0.1:0"], &flags[..]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(complaint), "{flags:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_cannot_be_read_is_refused_in_our_words() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    let request = admin.by(Role::Viewer, CheckSubdomainRequest { subdomain: "a".repeat(70_000) });
    assert_eq!(
        refused(&mut admin, request).await,
        (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_requests_are_counted_and_have_an_id_as_others_do() {
    let mut admin = Admin::of(Database::sqlite().await, &SHOWN).await;
    let mut request = admin.by(Role::Viewer, question());
    request.metadata_mut().insert("x-request-id", "abc-123".parse().unwrap());
    let answer = admin.client.check_subdomain(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "abc-123");
    let refusal = admin.client.check_subdomain(Request::new(question())).await.unwrap_err();
    assert!(refusal.metadata().contains_key("x-request-id"));
    let metrics = admin.server.metrics().await;
    for code in ["OK", "UNAUTHENTICATED"] {
        let series =
            format!(r#"rpc_duration_seconds_count{{method="CheckSubdomain",code="{code}"}}"#);
        assert_eq!(metrics.of(&series), 1.0, "{code}");
    }
}
