//! The headers that a service believes: it is told each of them, or told that it is not set.

use std::collections::BTreeMap;

use entitlementd::proto::envoy::service::auth::v3::{
    OkHttpResponse, authorization_client::AuthorizationClient,
};
use prost::Message;

use super::{ROUTES, forward_auth::Asked, seeded};
use crate::harness::{Server, id, mesh::envoy_asks, server::connect};

const TRUSTED: [&str; 7] = [
    "x-tenant-id",
    "x-tenant-subdomain",
    "x-tenant-schema",
    "x-tenant-plan",
    "x-tenant-verified",
    "x-entitlement-revision",
    "x-entitlement-would-deny",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_forward_auth_has_every_trusted_header_and_what_is_not_set_is_empty() {
    for codes in ["full", "nginx"] {
        let asked = Asked::start(&["--forward-auth-codes", codes]).await;
        let own = id(1);
        let tenant = [
            ("x-tenant-id", own.as_str()),
            ("x-tenant-plan", "enterprise"),
            ("x-tenant-verified", "true"),
        ];
        for (target, headers, set) in [
            ("/health", &tenant[..], &[][..]),
            ("/api/v1/orders/5", &tenant, &TRUSTED[..3]),
            ("/api/v1/new/thing", &tenant, &["x-tenant-id", "x-entitlement-would-deny"]),
            ("/api/v1/me", &[], &[]),
            ("/api//v1/me", &tenant, &[]),
            ("/api/v1/orders/5/invoice", &tenant, &[]),
        ] {
            let reply = if codes == "full" {
                asked.about("GET", target, headers).await
            } else {
                let own = [
                    ("x-original-method", "GET"),
                    ("x-original-uri", target),
                    ("x-original-host", "a.internal"),
                ];
                asked.send(&[&own, headers].concat()).await
            };
            for name in TRUSTED {
                let line = format!("{name}: ");
                let values: Vec<&str> =
                    reply.head.lines().filter_map(|head| head.strip_prefix(&line)).collect();
                assert_eq!(values.len(), 1, "{codes}: {target}: {name} in {reply:?}");
                assert_ne!(values, ["enterprise"]);
                assert!(
                    !set.contains(&name) || !values[0].is_empty(),
                    "{codes}: {target}: {name} in {reply:?}"
                );
                assert!(
                    !set.is_empty() || values[0].is_empty(),
                    "{codes}: {target}: {name} in {reply:?}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_to_envoy_that_lets_pass_sets_or_removes_every_trusted_header() {
    let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(routes.path(), ROUTES).unwrap();
    let server =
        Server::start_with(seeded().await, &["--routes", routes.path().to_str().unwrap()]).await;
    let mut envoy = AuthorizationClient::new(connect(&server.running.address).await);
    for (path, set) in [
        ("/health", &[][..]),
        (
            "/api/v1/me",
            &["x-tenant-id", "x-tenant-subdomain", "x-tenant-schema", "x-tenant-verified"],
        ),
        ("/api/v1/new/thing", &["x-tenant-id", "x-entitlement-would-deny"]),
    ] {
        let headers = [("x-tenant-id", id(1)), ("x-tenant-plan", "enterprise".to_owned())];
        let request = envoy_asks(path, headers, None);
        let answer = envoy.check(request).await.unwrap().into_inner();
        let ok = OkHttpResponse::decode(&*answer.ok_response.unwrap()).unwrap();
        let told = ok.headers.into_iter().filter_map(|option| option.header);
        let told: BTreeMap<String, String> =
            told.map(|header| (header.key, header.value)).collect();
        for name in TRUSTED {
            let is_removed = ok.headers_to_remove.iter().any(|removed| removed == name);
            assert_ne!(
                told.get(name).is_some_and(|value| !value.is_empty()),
                is_removed,
                "{path}: {name} in {told:?}"
            );
            assert!(!set.contains(&name) || !is_removed, "{path}: {name} in {told:?}");
        }
    }
}
