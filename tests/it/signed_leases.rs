//! Signed leases: what is signed, for whom, and for how long.

mod command;
mod keys;
mod library;
mod outage;
mod rights;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use chrono::{DateTime, Utc};
use entitlement_client::{LeaseReason, LeaseVerifier, SignedLease, testing::ManualClock};
use entitlementd::{
    proto::v1::{
        DecisionReason, FeatureName, FeatureReason, IssueLeaseRequest, IssueLeaseResponse,
        lease_service_client::LeaseServiceClient,
    },
    security::lease_keys::LeaseKeyFile,
};
use prost_types::Timestamp;
use tonic::{Code, Status, transport::Channel};

use crate::{
    features::Defined,
    harness::{
        Database, NOW, Row, Server, field_violations, http, id, instant, reason_of, server::connect,
    },
    metrics::SHOWN,
    on_both,
};

type Client = LeaseServiceClient<Channel>;

const DAY: i64 = 86_400;

/// A file with so many keys, and their names.
fn key_file(count: usize) -> (tempfile::NamedTempFile, Vec<String>) {
    let mut keys = LeaseKeyFile::default();
    for _ in 0..count {
        keys.add_new().unwrap();
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    write_keys(file.path(), &keys.text());
    (file, keys.ids())
}

/// Replaces a file at once, as a careful writer does.
fn write_keys(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(new, path).unwrap();
}

/// A server that signs, whose file of keys is gone.
async fn start(database: Database, flags: &[&str]) -> (Server, Client) {
    let (file, _) = key_file(1);
    let path = file.path().to_str().unwrap();
    let fixed = ["--changes", "off", "--lease-key-file", path];
    let server = Server::start_with(database, &[&fixed, &SHOWN[..], flags].concat()).await;
    let client = client(&server).await;
    (server, client)
}

async fn client(server: &Server) -> Client {
    LeaseServiceClient::new(connect(&server.running.address).await)
}

fn request(modules: &[&str]) -> IssueLeaseRequest {
    IssueLeaseRequest {
        tenant_id: id(1),
        module_codes: modules.iter().map(|code| (*code).to_owned()).collect(),
        ..Default::default()
    }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

async fn issue(client: &mut Client, request: IssueLeaseRequest) -> IssueLeaseResponse {
    client.issue_lease(request).await.unwrap().into_inner()
}

/// The code and the reason of a refusal.
fn refused(answer: Result<tonic::Response<IssueLeaseResponse>, Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), reason_of(&status))
}

async fn published(server: &Server) -> String {
    let reply = http::get(server.running.metrics_address.unwrap(), "/.well-known/jwks.json").await;
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.body
}

/// A verifier with the keys that a server publishes, whose clock shows [`NOW`].
async fn verifier(server: &Server) -> (LeaseVerifier, ManualClock) {
    let clock = ManualClock::at(NOW);
    let verifier = LeaseVerifier::new(published(server).await.as_bytes()).unwrap();
    (verifier.clock(clock.clone()), clock)
}

fn verified(verifier: &LeaseVerifier, issued: &IssueLeaseResponse) -> SignedLease {
    verifier.verify(id(1).parse().unwrap(), &issued.lease).unwrap()
}

fn at(timestamp: Option<Timestamp>) -> DateTime<Utc> {
    let Timestamp { seconds, nanos } = timestamp.unwrap();
    assert_eq!(nanos, 0, "whole seconds");
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// What a lease grants, with its ends in seconds from [`NOW`].
fn granted(lease: &SignedLease) -> Vec<(&str, i64)> {
    lease.modules().map(|(code, until)| (code, (until - NOW).num_seconds())).collect()
}

on_both! {
    async fn a_module_is_leased_as_long_as_the_lease_its_window_and_its_trial_last(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.mk_subscription(1, "hrms", Row { expires: Some(3600), ..Row::default() }).await;
        let trial = Row { is_trial: true, trial_ends: Some(60), ..Row::default() };
        database.mk_subscription(1, "crm_service", trial).await;
        database.mk_subscription(1, "scm_ai", Row { expires: Some(-1), ..Row::default() }).await;
        let (server, mut client) = start(database, &[]).await;
        let asked = request(&["scm_ai", "finance", "hrms", "crm_service", "nonsense", "finance"]);
        let issued = issue(&mut client, asked).await;
        assert_eq!((at(issued.issued_at), at(issued.expires_at)), (NOW, instant(DAY)));
        let said: Vec<_> = issued.modules.iter().map(|module| {
            (module.module_code.as_str(), module.granted, module.reason(), module.until.map(|until| until.seconds - NOW.timestamp()))
        }).collect();
        assert_eq!(said, [
            ("scm_ai", false, DecisionReason::SubscriptionExpired, None),
            ("finance", true, DecisionReason::Enabled, Some(DAY)),
            ("hrms", true, DecisionReason::Enabled, Some(3600)),
            ("crm_service", true, DecisionReason::Enabled, Some(60)),
            ("nonsense", false, DecisionReason::ModuleNotFound, None),
        ]);
        assert!(issued.modules[0].message.contains("has expired") && issued.modules[1].message.is_empty());
        assert_eq!(issued.freshness.unwrap().max_age.unwrap().seconds, 5, "a denial among them");

        let (verifier, clock) = verifier(&server).await;
        let lease = verified(&verifier, &issued);
        assert_eq!(granted(&lease), [("crm_service", 60), ("finance", DAY), ("hrms", 3600)]);
        assert_eq!((lease.issued_at(), lease.expires_at(), lease.as_of()), (NOW, instant(DAY), NOW));
        let reasons = ["finance", "crm_service", "scm_ai", "nonsense", "oms_fulfillment"].map(|code| lease.check(code).reason);
        assert_eq!(reasons, [LeaseReason::Granted, LeaseReason::Granted, LeaseReason::Denied, LeaseReason::Denied, LeaseReason::NotAskedFor]);
        // Clocks may be apart by a minute.
        clock.set(instant(120));
        assert_eq!(lease.check("crm_service").reason, LeaseReason::Ended);
        assert!(lease.allows("hrms"));
        clock.set(NOW);
        assert_eq!(lease.check("crm_service").reason, LeaseReason::ClockSetBack);
        clock.set(instant(DAY + 60));
        assert_eq!(lease.check("finance").reason, LeaseReason::Expired);
    }

    async fn a_lease_is_no_longer_than_wanted_nor_than_the_server_allows(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let (_server, mut client) = start(database, &["--lease-max", "2h"]).await;
        for (ttl, lasts) in [(None, 7200), (seconds(60), 60), (seconds(7201), 7200), (seconds(1), 1), (seconds(i64::MAX), 7200)] {
            let issued = issue(&mut client, IssueLeaseRequest { ttl, ..request(&["finance"]) }).await;
            assert_eq!(at(issued.expires_at), instant(lasts), "{ttl:?}");
            assert_eq!(at(issued.modules[0].until), instant(lasts), "{ttl:?}");
        }
    }

    async fn all_that_a_tenant_has_is_leased_where_nothing_is_named(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "hrms", Row::default()).await;
        database.mk_subscription(1, "finance", Row { expires: Some(90), ..Row::default() }).await;
        database.mk_subscription(1, "scm_ai", Row { starts: 50, ..Row::default() }).await;
        database.mk_tenant(2, "empty", "active").await;
        let (server, mut client) = start(database, &[]).await;
        let issued = issue(&mut client, request(&[])).await;
        let (verifier, _) = verifier(&server).await;
        let lease = verified(&verifier, &issued);
        assert_eq!(granted(&lease), [("finance", 90), ("hrms", DAY)]);
        assert_eq!(lease.check("scm_ai").reason, LeaseReason::Denied, "all were asked for");
        let valid_until = issued.freshness.as_ref().unwrap().valid_until.unwrap();
        assert_eq!(valid_until.seconds, instant(50).timestamp(), "a start changes it");

        let nothing = issue(&mut client, IssueLeaseRequest { tenant_id: id(2), ..request(&[]) }).await;
        let lease = verifier.verify(id(2).parse().unwrap(), &nothing.lease).unwrap();
        assert_eq!((lease.modules().count(), lease.check("hrms").reason), (0, LeaseReason::Denied));
        assert!(verifier.verify(id(1).parse().unwrap(), &nothing.lease).is_err());
    }

    async fn features_are_leased_with_their_values_and_their_modules(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.define("finance", Defined { key: "rows", value_type: "int64", is_on: true, value: "'9007199254740993'" }).await;
        database.define("finance", Defined { key: "beta", value_type: "bool", is_on: false, value: "'true'" }).await;
        database.define("hrms", Defined { key: "export", value_type: "string", is_on: true, value: "'\"csv\"'" }).await;
        database.flag(1, "finance", "kinds", "true", "'{\"value\": {\"a\": [1, \"b\"]}}'").await;
        let (server, mut client) = start(database, &[]).await;
        let feature = |module: &str, key: &str| FeatureName { module_code: module.into(), feature_key: key.into() };
        let features = vec![feature("finance", "rows"), feature("finance", "beta"), feature("hrms", "export"), feature("finance", "kinds"), feature("finance", "none")];
        let issued = issue(&mut client, IssueLeaseRequest { features, ..request(&[]) }).await;
        let codes: Vec<_> = issued.modules.iter().map(|module| (module.module_code.as_str(), module.granted)).collect();
        assert_eq!(codes, [("finance", true), ("hrms", false)]);
        let reasons: Vec<_> = issued.features.iter().map(|feature| (feature.enabled, feature.reason())).collect();
        assert_eq!(reasons, [
            (true, FeatureReason::Default), (false, FeatureReason::Default), (false, FeatureReason::ModuleDenied), (true, FeatureReason::Tenant), (false, FeatureReason::NotFound),
        ]);
        let (verifier, _) = verifier(&server).await;
        let lease = verified(&verifier, &issued);
        let said = |module, key| { let said = lease.feature(module, key); (said.reason, said.value) };
        assert_eq!(said("finance", "rows"), (LeaseReason::Granted, Some(9_007_199_254_740_993_i64.into())), "every digit");
        assert_eq!(said("finance", "beta"), (LeaseReason::Off, None));
        assert_eq!(said("finance", "none"), (LeaseReason::Off, None));
        assert_eq!(said("hrms", "export"), (LeaseReason::Denied, None));
        assert_eq!(said("finance", "other"), (LeaseReason::NotAskedFor, None));
        assert!(lease.feature("finance", "kinds").enabled);
    }

    async fn a_tenant_that_is_not_served_gets_no_lease(server: Server) {
        let database = server.database.again().await;
        for (tenant, status) in [(1, "suspended"), (2, "cancelled"), (3, "odd"), (4, "pending")] {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
            database.set_status(tenant, status).await;
        }
        let (_server, mut client) = start(database, &[]).await;
        for (tenant, code, reason) in [
            (1, Code::PermissionDenied, "TENANT_SUSPENDED"),
            (2, Code::PermissionDenied, "TENANT_CANCELLED"),
            (3, Code::PermissionDenied, "TENANT_NOT_SERVED"),
            (9, Code::NotFound, "TENANT_NOT_FOUND"),
        ] {
            for modules in [&["finance"][..], &[]] {
                let asked = IssueLeaseRequest { tenant_id: id(tenant), ..request(modules) };
                assert_eq!(refused(client.issue_lease(asked).await), (code, reason.to_owned()));
            }
        }
        let pending = IssueLeaseRequest { tenant_id: id(4), ..request(&["finance"]) };
        assert!(issue(&mut client, pending).await.modules[0].granted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_refused_field_by_field() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let (_server, mut client) = start(database, &[]).await;
    let named = |key: &str| FeatureName { module_code: "finance".into(), feature_key: key.into() };
    let nanos = |nanos| Some(prost_types::Duration { seconds: 0, nanos });
    let good = || request(&["finance"]);
    for (asked, fields) in [
        (IssueLeaseRequest { tenant_id: "1".into(), ..good() }, &["tenant_id"][..]),
        (request(&["finance", "", "a\nb"]), &["module_codes[1]", "module_codes[2]"]),
        (request(&["x"; 101]), &["module_codes"]),
        (IssueLeaseRequest { features: vec![named("x"); 101], ..good() }, &["features"]),
        (IssueLeaseRequest { features: vec![named("")], ..good() }, &["features[0].feature_key"]),
        (IssueLeaseRequest { ttl: seconds(0), ..good() }, &["ttl"]),
        (IssueLeaseRequest { ttl: seconds(-5), ..good() }, &["ttl"]),
        (IssueLeaseRequest { ttl: nanos(999_999_999), ..good() }, &["ttl"]),
        (IssueLeaseRequest { audience: "till 7".into(), ..good() }, &["audience"]),
        (IssueLeaseRequest { audience: "é".into(), ..good() }, &["audience"]),
        (IssueLeaseRequest { audience: "x".repeat(201), ..good() }, &["audience"]),
    ] {
        let status = client.issue_lease(asked).await.unwrap_err();
        assert_eq!(
            (status.code(), field_violations(&status)),
            (Code::InvalidArgument, fields.iter().map(|it| (*it).to_owned()).collect())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_into_a_lease_is_refused() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let value = format!("'\"{}\"'", "x".repeat(1500));
    for number in 0..20 {
        let key = format!("text-{number}");
        database
            .define(
                "finance",
                Defined { key: &key, value_type: "string", is_on: true, value: &value },
            )
            .await;
    }
    let (_server, mut client) = start(database, &[]).await;
    let features = |count| {
        let name = |number| FeatureName {
            module_code: "finance".into(),
            feature_key: format!("text-{number}"),
        };
        IssueLeaseRequest { features: (0..count).map(name).collect(), ..request(&["finance"]) }
    };
    assert!(issue(&mut client, features(10)).await.lease.len() < 32 * 1024);
    let status = client.issue_lease(features(20)).await.unwrap_err();
    assert_eq!(
        (status.code(), field_violations(&status)),
        (Code::InvalidArgument, vec!["features".to_owned()])
    );
    assert!(status.message().contains("larger than 32768 bytes"), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_for_its_audience_and_of_its_issuer() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let (server, mut client) = start(database, &["--lease-issuer", "https://erp.example"]).await;
    let asked = IssueLeaseRequest { audience: "till-7".into(), ..request(&["finance"]) };
    let issued = issue(&mut client, asked).await;
    let verifies = async |issuer: &str, audience: Option<&str>| {
        let verifier = verifier(&server).await.0.issuer(issuer);
        let verifier = audience.into_iter().fold(verifier, LeaseVerifier::audience);
        verifier.verify(id(1).parse().unwrap(), &issued.lease).is_ok()
    };
    assert!(verifies("https://erp.example", Some("till-7")).await);
    assert!(!verifies("entitlementd", Some("till-7")).await);
    assert!(!verifies("https://erp.example", Some("till-8")).await);
    assert!(!verifies("https://erp.example", None).await);
}
