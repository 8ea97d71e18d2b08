//! What passes, what does not, and what the service is told, whichever proxy asks.

use std::{path::PathBuf, time::Duration};

use super::{Kind, Mesh, ROUTES, mk_module, seeded};
use crate::{
    harness::{
        Database, Row, id,
        token::{claims, hs256, secret_file},
        until,
    },
    on_both_proxies,
};

const ERP_ROUTES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/erp-routes.csv");

on_both_proxies! {
    async fn a_tenant_gets_where_its_modules_are_and_the_service_is_told_who_it_is(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let tenant = ("x-tenant-id", id(1));
        let tenant = [(tenant.0, tenant.1.as_str())];

        let reply = mesh.get("/api/v1/orders/5?x=1", &tenant).await;
        assert_eq!(reply.json()["target"], "/api/v1/orders/5?x=1");
        for (header, value) in [
            ("x-tenant-id", id(1).as_str()),
            ("x-tenant-subdomain", "tenant-1"),
            ("x-tenant-schema", "tenant_tenant-1"),
            ("x-tenant-plan", ""),
            ("x-tenant-verified", "false"),
            ("x-entitlement-would-deny", ""),
        ] {
            assert_eq!(reply.seen(header), value, "{header}");
        }
        assert_ne!(reply.seen("x-entitlement-revision"), "");

        let by_host = mesh.get("/api/v1/orders", &[("host", "tenant-1.erp.example:8443")]).await;
        assert_eq!(by_host.seen("x-tenant-id"), id(1));

        let refused = mesh.get("/api/v1/orders/5/invoice", &tenant).await;
        assert_eq!((refused.status, refused.reason().as_str()), (403, "NOT_SUBSCRIBED"));
        assert_eq!(
            refused.json()["detail"],
            "Module 'finance' is not enabled for your account. Please upgrade your subscription."
        );
        assert!(refused.head.contains("content-type: application/problem+json"), "{refused:?}");

        assert_eq!(mesh.get("/api/v1/dashboard", &tenant).await.status, 200);
        assert_eq!(mesh.get("/api/v1/me", &tenant).await.status, 200);
        let public = mesh.get("/health", &[]).await;
        assert_eq!(public.seen("x-tenant-id"), "");
        let unmapped = mesh.get("/api/v1/forgotten", &tenant).await;
        assert_eq!((unmapped.status, unmapped.reason().as_str()), (403, "ROUTE_NOT_MAPPED"));
    }
}

on_both_proxies! {
    async fn who_is_nobody_unknown_or_not_served_is_told_so(kind: Kind) {
        let database = seeded().await;
        database.mk_tenant(2, "paused", "suspended").await;
        let mesh = Mesh::with_routes(kind, database, ROUTES, &[]).await;
        for (headers, status, reason) in [
            (vec![], 401, "TENANT_NOT_FOUND"),
            (vec![("x-tenant-id", id(9))], 404, "TENANT_NOT_FOUND"),
            (vec![("x-tenant-id", id(2))], 403, "TENANT_SUSPENDED"),
            (vec![("x-tenant-id", "finance".to_owned())], 400, "INVALID_FIELD"),
            (vec![("x-tenant-id", id(1)), ("host", "paused.erp.example".to_owned())], 403, "TENANT_CONFLICT"),
            (vec![("x-tenant-id", id(1)), ("authorization", "Bearer x.y.z".to_owned())], 401, "TOKEN_INVALID"),
        ] {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = mesh.get("/api/v1/me", &headers).await;
            assert_eq!((reply.status, reply.reason().as_str()), (status, reason), "{headers:?}");
            assert_eq!(reply.head.contains("www-authenticate: bearer"), status == 401, "{reply:?}");
        }
        // What is not a bearer token is the service's own business.
        let basic = [("x-tenant-id", id(1)), ("authorization", "Basic eDp5".to_owned())];
        let basic = basic.each_ref().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(mesh.get("/api/v1/me", &basic).await.seen("authorization"), "Basic eDp5");
    }
}

on_both_proxies! {
    async fn what_a_client_says_under_our_names_never_reaches_the_service(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let own = id(1);
        let spoofed = [
            ("x-tenant-id", own.as_str()),
            ("X-Tenant-Subdomain", "other"),
            ("x-tenant-schema", "tenant_other"),
            ("x-tenant-plan", "enterprise"),
            ("x-tenant-verified", "true"),
            ("x-entitlement-revision", "99999999"),
            ("x-entitlement-would-deny", "NO"),
            ("x_tenant_schema", "tenant_other"),
            ("x-claimed-tenant-id", "00000000-0000-4000-8000-000000000009"),
        ];
        let reply = mesh.get("/api/v1/me", &spoofed).await;
        for (header, value) in [
            ("x-tenant-id", own.as_str()),
            ("x-tenant-subdomain", "tenant-1"),
            ("x-tenant-schema", "tenant_tenant-1"),
            ("x-tenant-plan", ""),
            ("x-tenant-verified", "false"),
            ("x-entitlement-would-deny", ""),
            ("x_tenant_schema", ""),
        ] {
            assert_eq!(reply.seen(header), value, "{header}");
        }
        assert_ne!(reply.seen("x-entitlement-revision"), "99999999");

        let public = mesh.get("/health", &spoofed).await;
        for (header, _) in spoofed.iter().filter(|(header, _)| *header != "x-claimed-tenant-id") {
            assert_eq!(public.seen(&header.to_lowercase()), "", "{header}");
        }
    }
}

on_both_proxies! {
    async fn where_it_has_to_be_verified_only_a_token_names_the_tenant(kind: Kind) {
        let secret = secret_file();
        let flags = ["--jwt-secret-file", secret.path().to_str().unwrap()];
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &flags).await;
        let own = id(1);
        let mut nameless = claims(&own);
        nameless.as_object_mut().unwrap().remove("tenant_id");
        let token = |claims| format!("Bearer {}", hs256(&claims));
        let (named, nameless) = (token(claims(&own)), token(nameless));

        let verified = mesh.get("/api/v1/payouts", &[("authorization", &named)]).await;
        assert_eq!(verified.seen("x-tenant-verified"), "true");
        assert_eq!(verified.seen("authorization"), named);
        for headers in [
            vec![("x-tenant-id", own.as_str())],
            vec![("host", "tenant-1.erp.example")],
            vec![("x-tenant-id", own.as_str()), ("authorization", nameless.as_str())],
        ] {
            let reply = mesh.get("/api/v1/payouts", &headers).await;
            assert_eq!((reply.status, reply.reason().as_str()), (401, "TENANT_NOT_VERIFIED"), "{headers:?}");
        }
        // Elsewhere a header will do.
        assert_eq!(mesh.get("/api/v1/orders", &[("x-tenant-id", &own), ("authorization", &nameless)]).await.status, 200);
        let other = id(9);
        let conflict = mesh.get("/api/v1/payouts", &[("x-tenant-id", &other), ("authorization", &named)]).await;
        assert_eq!(conflict.reason(), "TENANT_CONFLICT");
    }
}

on_both_proxies! {
    async fn no_spelling_of_a_path_slips_past(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let own = id(1);
        for target in [
            "/health/../api/v1/orders/5/invoice",
            "/health/%2e%2e/api/v1/orders/5/invoice",
            "/health%2f..%2fapi/v1/orders/5/invoice",
            "/health\\..\\api",
            "/health%5c..",
            "/api/v1/orders/5/%2569nvoice",
            "/api/v1/orders/5/%69nvoice",
            "/api/v1/orders/5/%25%36%39nvoice",
            "/health/..%25%32%66api",
            "/api/v1/orders/5/invoice%3Bx",
            "/api/v1/orders/5/Invoice",
            "/api/v1/orders/5//invoice",
            "/api/v1//orders/5/invoice",
            "//api/v1/orders/5/invoice",
            "/api/v1/orders/5/invoice/",
            "/api/v1/orders/5/invoice;x=1",
            "/api/v1/orders/..;/x",
            "/health%00",
            "/health%",
            "/%c0%ae%c0%ae/api",
        ] {
            let reply = mesh.get(target, &[("x-tenant-id", &own)]).await;
            assert_eq!(reply.status, 400, "{target}: {reply:?}");
            // Some are refused by Envoy itself.
            if reply.body.contains("reason") {
                assert_eq!(reply.reason(), "PATH_REFUSED", "{target}");
            }
        }
        for target in ["/api/v1/orders/caf%C3%A9", "/api/v1/orders/a@b", "/api/v1/orders/5/"] {
            assert_eq!(mesh.get(target, &[("x-tenant-id", &own)]).await.status, 200, "{target}");
        }
    }
}

on_both_proxies! {
    async fn a_browser_may_ask_whether_it_may_send_and_nothing_more(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let preflight = [("origin", "https://shop.example"), ("access-control-request-method", "POST")];
        let passed = mesh.send("OPTIONS", "/api/v1/orders", &preflight).await;
        assert_eq!(passed.status, 200);
        assert_eq!(mesh.send("OPTIONS", "/api/v1/orders", &[]).await.status, 401);
        assert_eq!(mesh.send("POST", "/api/v1/orders", &preflight).await.status, 401);
    }
}

on_both_proxies! {
    async fn in_shadow_mode_everything_passes_and_the_service_hears_what_would_not(kind: Kind) {
        let own = id(1);
        let tenant = [("x-tenant-id", own.as_str()), ("x-entitlement-would-deny", "spoofed")];
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let shadowed = mesh.get("/api/v1/new/thing", &tenant).await;
        assert_eq!(shadowed.seen("x-entitlement-would-deny"), "NOT_SUBSCRIBED");
        assert_eq!(shadowed.seen("x-tenant-id"), own);
        assert_eq!(mesh.get("/api/v1/orders/5/invoice", &tenant).await.status, 403);

        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &["--enforce", "off"]).await;
        for (target, headers, reason) in [
            ("/api/v1/orders/5/invoice", &tenant[..], "NOT_SUBSCRIBED"),
            ("/api/v1/orders/5", &tenant, ""),
            ("/api/v1/orders/5", &[], "TENANT_NOT_FOUND"),
            ("/api/v1/forgotten", &tenant, "ROUTE_NOT_MAPPED"),
            ("/api//v1/orders", &tenant, "PATH_REFUSED"),
        ] {
            assert_eq!(mesh.get(target, headers).await.seen("x-entitlement-would-deny"), reason, "{target}");
        }
    }
}

on_both_proxies! {
    async fn a_module_enabled_in_psql_opens_its_paths_and_one_that_is_disabled_closes_them(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let own = id(1);
        let tenant = [("x-tenant-id", own.as_str())];
        let answers = async |target: &str, status: u16| {
            let deadline = std::time::Instant::now() + Duration::from_secs(20);
            while mesh.get(target, &tenant).await.status != status {
                assert!(std::time::Instant::now() < deadline, "{target} never answers {status}");
            }
        };
        let database = &mesh.server.database;
        answers("/api/v1/orders/5/invoice", 403).await;
        database.mk_subscription(1, "finance", Row::default()).await;
        answers("/api/v1/orders/5/invoice", 200).await;
        let status = |status: &str| {
            format!(
                "UPDATE tenant_subscriptions SET status = '{status}' FROM modules m WHERE m.id = module_id AND m.code = 'finance'"
            )
        };
        database.execute(&status("cancelled")).await;
        answers("/api/v1/orders/5/invoice", 403).await;

        // The catalogue's own endpoints are rules as well, from the moment they are written.
        answers("/api/v2/ledger/1", 403).await;
        let endpoints = |list: &str| format!("UPDATE modules SET api_endpoints = '{list}' WHERE code = 'oms_fulfillment'");
        database.execute(&endpoints(r#"["/api/v2/ledger", {"path": "/api/v2/stock/{id}", "methods": ["GET"]}, 7]"#)).await;
        answers("/api/v2/ledger/1", 200).await;
        assert_eq!(mesh.get("/api/v2/stock/5", &tenant).await.status, 200);
        assert_eq!(mesh.send("POST", "/api/v2/stock/5", &tenant).await.status, 403);
        database.execute(&endpoints("[]")).await;
        answers("/api/v2/ledger/1", 403).await;
    }
}

on_both_proxies! {
    async fn who_names_two_tenants_is_refused_in_the_words_of_the_header_that_was_sent(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let (own, other) = (id(1), id(9));
        for values in [[own.as_str(), &other], [&other, &own], [&own, &own], [&own, ""], ["", &own]] {
            let headers = values.map(|value| ("x-tenant-id", value));
            let reply = mesh.get("/api/v1/me", &headers).await;
            assert_eq!((reply.status, reply.reason().as_str()), (400, "INVALID_FIELD"), "{values:?}");
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert_eq!(detail, "The header x-tenant-id came more than once.", "{values:?}");
            // To what is public, it does not matter.
            assert_eq!(mesh.get("/health", &headers).await.seen("x-tenant-id"), "");
        }
        let reply = mesh.get("/api/v1/me", &[("x-tenant-id", "acme")]).await;
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("The header x-tenant-id must be a UUID"), "{detail}");
        // The name that is between the proxy and its judge is nobody else's.
        for target in ["/api/v1/me", "/health", "/api/v1/new/thing"] {
            let headers = [("x-tenant-id", own.as_str()), ("x-claimed-tenant-id", &other)];
            let reply = mesh.get(target, &headers).await;
            if matches!(kind, Kind::Envoy) {
                assert_eq!(reply.seen("x-claimed-tenant-id"), "", "{target}");
            }
            assert_eq!(reply.seen("x-tenant-id") == own, target != "/health", "{target}");
        }
    }
}

on_both_proxies! {
    async fn every_route_of_the_erp_is_open_to_who_has_the_module_and_closed_to_who_has_not(kind: Kind) {
        let mut reader = csv::Reader::from_path(ERP_ROUTES).unwrap();
        let rows: Vec<[String; 4]> =
            reader.records().map(|row| row.unwrap()).map(|row| [0, 1, 2, 5].map(|column| row[column].to_owned())).collect();
        let database = Database::postgres().await;
        let mut modules: Vec<&str> =
            rows.iter().map(|[_, _, module, _]| module.as_str()).filter(|code| !code.is_empty()).collect();
        modules.sort_unstable();
        modules.dedup();
        database.mk_tenant(1, "has-all", "active").await;
        database.mk_tenant(2, "has-none", "active").await;
        for module in &modules {
            mk_module(&database, module).await;
            database.mk_subscription(1, module, Row::default()).await;
        }
        let mesh = Mesh::start(kind, database, &["--routes", ERP_ROUTES]).await;
        let (has_all, has_none) = (id(1), id(2));
        // What is public or closed whoever asks is in `the_erps_own_map`.
        for [path, methods, module, _] in rows.iter().filter(|[.., access]| access.is_empty() || access == "tenant") {
            let path: PathBuf = path.split('/').map(|part| if part.starts_with('{') { "x1" } else { part }).collect();
            let path = format!("/{}", path.to_str().unwrap());
            for method in methods.split('|') {
                let open = mesh.send(method, &path, &[("x-tenant-id", &has_all)]).await;
                assert_eq!(open.status, 200, "{method} {path}: {open:?}");
                let closed = mesh.send(method, &path, &[("x-tenant-id", &has_none)]).await;
                let wanted = if module.is_empty() { 200 } else { 403 };
                assert_eq!(closed.status, wanted, "{method} {path}: {closed:?}");
            }
        }
        assert_eq!(mesh.send("POST", "/api/v1/auth/login", &[]).await.status, 401);
        assert_eq!(mesh.send("POST", "/api/v1/auth/refresh", &[]).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_logs_hold_the_decision() {
    let mesh = Mesh::with_routes(Kind::Envoy, seeded().await, ROUTES, &[]).await;
    let own = id(1);
    mesh.get("/api/v1/orders/5/invoice", &[("x-tenant-id", &own)]).await;
    let wanted = format!(r#""tenant_id":"{own}""#);
    until("the access log is written", || mesh.log().contains(&wanted));
    let log = mesh.log();
    for part in [
        r#""decision":"refused""#,
        r#""reason":"NOT_SUBSCRIBED""#,
        r#""module":"finance""#,
        r#""route":"/api/v1/orders/{id}/invoice""#,
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
}
