//! Who may have leases signed, and what is recorded of it.

use entitlementd::server;
use tonic::Request;

use super::*;
use crate::{
    callers::callers,
    harness::{server::serve_args, until_so},
};

fn as_caller(token: &str, message: IssueLeaseRequest) -> Request<IssueLeaseRequest> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_needs_the_right_to_leases_and_stays_within_its_tenants_and_modules() {
    let one = format!("services = [\"leases\"]\ntenants = [\"{}\"]", id(1));
    let finance = "services = [\"leases\"]\nmodules = [\"hrms\", \"finance\", \"scm_ai\"]";
    let file = callers(&[
        (
            "all",
            "services = [\"entitlement\", \"ext-authz\", \"forward-auth\", \"usage\", \"usage-corrections\"]",
        ),
        ("shops", "services = [\"leases\"]"),
        ("one", &one),
        ("some", finance),
    ]);
    let database = Database::sqlite().await;
    for tenant in [1, 2] {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
        database.mk_subscription(tenant, "crm_service", Row::default()).await;
    }
    let (server, mut client) =
        start(database, &["--callers-file", file.path().to_str().unwrap()]).await;
    let not_allowed = (Code::PermissionDenied, "CALLER_NOT_ALLOWED".to_owned());
    let of =
        |tenant, modules: &[&str]| IssueLeaseRequest { tenant_id: id(tenant), ..request(modules) };
    let unknown = (Code::Unauthenticated, "CALLER_UNAUTHENTICATED".to_owned());
    assert_eq!(refused(client.issue_lease(of(1, &[])).await), unknown);
    assert_eq!(refused(client.issue_lease(as_caller("stranger", of(1, &[]))).await), unknown);
    assert_eq!(refused(client.issue_lease(as_caller("all", of(1, &[]))).await), not_allowed);
    assert!(client.issue_lease(as_caller("shops", of(2, &["crm_service"]))).await.is_ok());
    assert!(client.issue_lease(as_caller("one", of(1, &[]))).await.is_ok());
    // Nobody learns which tenants there are.
    for tenant in [2, 9] {
        assert_eq!(
            refused(client.issue_lease(as_caller("one", of(tenant, &[]))).await),
            not_allowed
        );
    }
    assert_eq!(
        refused(client.issue_lease(as_caller("some", of(1, &["finance", "crm_service"]))).await),
        not_allowed
    );
    let feature = FeatureName { module_code: "crm_service".into(), feature_key: "x".into() };
    let hidden = IssueLeaseRequest { features: vec![feature], ..of(1, &[]) };
    assert_eq!(refused(client.issue_lease(as_caller("some", hidden)).await), not_allowed);

    // All that it may ask about: of what it may not, the lease says nothing.
    let some = client.issue_lease(as_caller("some", of(1, &[]))).await.unwrap().into_inner();
    let lease = verified(&verifier(&server).await.0, &some);
    assert_eq!(granted(&lease), [("finance", DAY)]);
    let reasons = ["finance", "hrms", "scm_ai", "crm_service"].map(|code| lease.check(code).reason);
    assert_eq!(
        reasons,
        [LeaseReason::Granted, LeaseReason::Denied, LeaseReason::Denied, LeaseReason::NotAskedFor]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_callers_have_no_names_only_who_is_near_gets_leases() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let (file, _) = key_file(1);
    let flags =
        ["--changes", "off", "--insecure=all", "--lease-key-file", file.path().to_str().unwrap()];
    let mut args = serve_args(&database.url, &flags);
    args.instance.listen = "0.0.0.0:0".parse().unwrap();
    let running = server::start(args, entitlementd::clock::Clock::System).await.unwrap();
    let port = running.address.to_string().rsplit_once(':').unwrap().1.to_owned();
    let near = format!("127.0.0.1:{port}").parse().unwrap();
    let mut client = LeaseServiceClient::new(connect(&near).await);
    let not_allowed = (Code::PermissionDenied, "CALLER_NOT_ALLOWED".to_owned());
    assert_eq!(refused(client.issue_lease(request(&["finance"])).await), not_allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_keys_says_so() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let server = Server::start(database).await;
    let off = (Code::FailedPrecondition, "LEASES_OFF".to_owned());
    assert_eq!(refused(client(&server).await.issue_lease(request(&["finance"])).await), off);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_leased_and_what_was_refused_is_counted_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    database.set_status(2, "suspended").await;
    let flags = ["--decision-log", path.to_str().unwrap(), "--decision-log-one-grant-in", "1"];
    let (server, mut client) = start(database, &flags).await;
    let feature = FeatureName { module_code: "finance".into(), feature_key: "beta".into() };
    let asked = IssueLeaseRequest { features: vec![feature], ..request(&["finance", "hrms"]) };
    issue(&mut client, asked).await;
    let suspended = IssueLeaseRequest { tenant_id: id(2), ..request(&["finance"]) };
    assert!(client.issue_lease(suspended).await.is_err());
    let metrics = server.metrics().await;
    for (series, count) in [
        (r#"decisions_total{reason="ENABLED"}"#, 1.0),
        (r#"decisions_total{reason="NOT_SUBSCRIBED"}"#, 1.0),
        (r#"decisions_total{reason="TENANT_SUSPENDED"}"#, 1.0),
        (r#"feature_decisions_total{reason="NOT_FOUND"}"#, 1.0),
        (r#"rpc_duration_seconds_count{method="IssueLease",code="OK"}"#, 1.0),
    ] {
        assert_eq!(metrics.of(series), count, "{series}");
    }
    let text = || fs::read_to_string(&path).unwrap();
    until_so("four lines are written", async || text().lines().count() == 4).await;
    let logged: Vec<serde_json::Value> =
        text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = |line: &serde_json::Value| {
        ["asked", "decision", "module", "feature", "reason"]
            .map(|name| line[name].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(
        logged.iter().map(said).collect::<Vec<_>>(),
        [
            ["IssueLease", "granted", "finance", "", "ENABLED"],
            ["IssueLease", "denied", "hrms", "", "NOT_SUBSCRIBED"],
            ["IssueLease", "denied", "finance", "beta", "NOT_FOUND"],
            ["IssueLease", "denied", "", "", "TENANT_SUSPENDED"],
        ]
    );
}
