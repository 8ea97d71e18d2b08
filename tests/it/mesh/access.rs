//! What is open to everybody, to nobody, and to whom a token means nothing.

use super::{Kind, Mesh, seeded};
use crate::{
    callers::callers,
    harness::{
        Database, Row, Server, id,
        mesh::{port_of, send_to},
        token::{claims, hs256, secret_file},
    },
    on_both_proxies,
};

const ROUTES: &str = r#"
    [[route]]
    path = "/login"
    token = "ignore"

    [[route]]
    path = "/me"

    [[route]]
    path = "/shop/**"
    access = "public"
    tenant = "optional"
    token = "ignore"

    [[route]]
    path = "/news"
    access = "public"
    tenant = "optional"

    [[route]]
    path = "/admin/**"
    access = "closed"

    [[route]]
    path = "/support/**"
    access = "closed"
    callers = ["console", "support"]
"#;

/// Good, but an hour too late.
fn expired(tenant: &str) -> String {
    let mut claims = claims(tenant);
    claims["exp"] = (claims["exp"].as_i64().unwrap() - 7200).into();
    format!("Bearer {}", hs256(&claims))
}

on_both_proxies! {
    async fn where_the_token_is_ignored_the_header_or_the_host_names_the_tenant(kind: Kind) {
        let secret = secret_file();
        // Who logs in cannot be verified yet.
        for more in [&[][..], &["--require-verified-tenant"]] {
            let flags = [&["--jwt-secret-file", secret.path().to_str().unwrap()], more].concat();
            let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &flags).await;
            let (own, other) = (id(1), id(9));
            let named = format!("Bearer {}", hs256(&claims(&other)));
            for token in [expired(&own), expired(&other), named, "Bearer x.y.z".to_owned()] {
                for name in [("x-tenant-id", own.as_str()), ("host", "tenant-1.erp.example")] {
                    let reply = mesh.send("POST", "/login", &[name, ("authorization", &token)]).await;
                    assert_eq!((reply.status, reply.seen("x-tenant-id")), (200, own.clone()), "{reply:?}");
                    assert_eq!(reply.seen("authorization"), token, "the service looks at it, or does not");
                    assert_eq!(reply.seen("x-tenant-verified"), "false");
                }
                // Nobody is named by a token that is not looked at.
                assert_eq!(mesh.send("POST", "/login", &[("authorization", &token)]).await.status, 401);
                let looked_at = mesh.get("/me", &[("x-tenant-id", &own), ("authorization", &token)]).await;
                assert!([401, 403].contains(&looked_at.status), "{looked_at:?}");
            }
        }
    }
}

on_both_proxies! {
    async fn what_is_public_with_the_tenant_passes_whoever_asks_and_is_told_who_that_is(kind: Kind) {
        let database = seeded().await;
        database.mk_tenant(2, "paused", "suspended").await;
        let secret = secret_file();
        let mesh =
            Mesh::with_routes(kind, database, ROUTES, &["--jwt-secret-file", secret.path().to_str().unwrap()]).await;
        let (own, paused, unknown) = (id(1), id(2), id(9));
        let token = expired(&own);
        let good = format!("Bearer {}", hs256(&claims(&own)));
        for (target, headers, tenant) in [
            ("/shop/banners", vec![], ""),
            ("/shop/banners", vec![("x-tenant-id", own.as_str())], own.as_str()),
            ("/shop", vec![("host", "tenant-1.erp.example")], &own),
            ("/shop/banners", vec![("x-tenant-id", &own), ("authorization", &token)], &own),
            ("/shop/banners", vec![("authorization", &good)], ""),
            ("/shop/banners", vec![("x-tenant-id", &paused)], ""),
            ("/shop/banners", vec![("x-tenant-id", &unknown)], ""),
            ("/shop/banners", vec![("x-tenant-id", "no id")], ""),
            ("/shop/banners", vec![("x-tenant-id", &own), ("host", "paused.erp.example")], ""),
            ("/news", vec![("authorization", &good)], &own),
            ("/news", vec![("x-tenant-id", &own), ("authorization", &token)], ""),
        ] {
            let reply = mesh.get(target, &headers).await;
            assert_eq!((reply.status, reply.seen("x-tenant-id").as_str()), (200, tenant), "{target} {headers:?}");
            assert_eq!(reply.seen("x-entitlement-would-deny"), "");
        }
    }
}

on_both_proxies! {
    async fn what_is_closed_is_open_to_nobody(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let own = id(1);
        for target in ["/admin", "/admin/tenants/5", "/support/5"] {
            for headers in [vec![], vec![("x-tenant-id", own.as_str())]] {
                let reply = mesh.get(target, &headers).await;
                assert_eq!((reply.status, reply.reason().as_str()), (403, "ROUTE_CLOSED"), "{target}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_closed_is_open_to_the_proxies_that_the_rule_names() {
    let services = "services = [\"forward-auth\"]";
    let file = callers(&[("shop", services), ("console", services)]);
    let routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(routes.path(), ROUTES).unwrap();
    let flags = [
        ["--callers-file", file.path().to_str().unwrap()],
        ["--routes", routes.path().to_str().unwrap()],
        ["--forward-auth-listen", "127.0.0.1:0"],
    ];
    let server = Server::start_with(Database::sqlite().await, flags.as_flattened()).await;
    let port = port_of(server.running.forward_auth_address.as_ref().unwrap());
    let ask = async |caller: &str, target: &str| {
        let bearer = format!("Bearer {caller}");
        let headers = [
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", target),
            ("x-forwarded-host", "service.internal"),
            ("x-entitlement-caller", &bearer),
        ];
        let reply = send_to(([127, 0, 0, 1], port).into(), "GET", "/", &headers).await;
        (reply.status, if reply.status == 200 { String::new() } else { reply.reason() })
    };
    let closed = (403, "ROUTE_CLOSED".to_owned());
    assert_eq!(ask("console", "/support/reset").await, (200, String::new()));
    assert_eq!(ask("shop", "/support/reset").await, closed);
    assert_eq!(ask("console", "/admin/reset").await, closed);
    assert_eq!(ask("stranger", "/support/reset").await, (403, "CALLER_UNAUTHENTICATED".to_owned()));
}

on_both_proxies! {
    async fn the_erps_own_map_opens_what_the_erp_has_open_but_for_its_administration(kind: Kind) {
        let file = |name: &str| format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut reader = csv::Reader::from_path(file("tests/fixtures/erp-public-endpoints.csv")).unwrap();
        let secret = secret_file();
        let database = Database::postgres().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let routes = file("deploy/erp-routes.csv");
        let flags = ["--routes", &routes, "--jwt-secret-file", secret.path().to_str().unwrap()];
        let mesh = Mesh::start(kind, database, &flags).await;
        let own = id(1);
        let token = expired(&own);
        let named = [("x-tenant-id", own.as_str()), ("authorization", &token)];
        let mut rows = 0;
        for row in reader.records().map(Result::unwrap) {
            let (method, path, is_open) = (&row[0], row[1].replace(['{', '}'], ""), &row[2] == "yes");
            for headers in [&[][..], &named] {
                let reply = mesh.send(method, &path, headers).await;
                assert_eq!(reply.status, if is_open { 200 } else { 403 }, "{method} {path}: {reply:?}");
            }
            rows += 1;
        }
        assert_eq!(rows, 49);
        // The session has run out, and its token is still attached.
        for path in ["login", "refresh", "forgot-password", "reset-password"] {
            let reply = mesh.send("POST", &format!("/api/v1/auth/{path}"), &named).await;
            assert_eq!((reply.status, reply.seen("x-tenant-id")), (200, own.clone()), "{path}");
        }
        assert_eq!(mesh.get("/api/v1/billing/eway-bills", &named).await.status, 401);
    }
}
