//! What a browser may read: pages of an application ask the service through the shipped proxies, from another origin.

use std::{fs, process::Command};

use axum::{Router, response::Html};
use tokio::net::TcpListener;

use super::{Kind, Mesh, ROUTES, seeded};
use crate::{
    harness::{
        id,
        keeper::{command, new_folder, program},
        mesh::upstream::ALLOWED_BY_THE_SERVICE,
    },
    on_both_proxies,
};

/// What the shipped configurations allow.
const CORS_ORIGIN: &str = "https://shop.erp.example";

fn allows(head: &str, origin: &str) -> bool {
    head.to_lowercase().contains(&format!("access-control-allow-origin: {origin}\r\n"))
}

/// A page that sends requests one after the other, and writes down what it may read of each answer.
const PAGE: &str = r#"<!doctype html><pre id="seen"></pre><script>
(async () => {
  const seen = [];
  for (const [method, path, headers] of REQUESTS) {
    try {
      const answer = await fetch("SERVICE" + path, { method, headers, credentials: "include" });
      const body = await answer.json();
      seen.push([path, answer.status, body.reason ?? "", answer.headers.get("www-authenticate") ?? "",
        answer.headers.get("x-entitlement-reason") ?? ""].join(" "));
    } catch (error) {
      seen.push(path + " cannot be read");
    }
  }
  document.getElementById("seen").textContent = seen.join("\n") + "\nend";
})();
</script>"#;

/// Opens a page in a real browser, and returns what it has written down.
async fn look_at(page: String) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(move || async move { Html(page) });
    let server = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let dom = tokio::task::spawn_blocking(move || dump(&origin)).await.unwrap();
    server.abort();
    let (_, seen) = dom.split_once("<pre id=\"seen\">").unwrap_or_else(|| panic!("no page: {dom}"));
    let (seen, _) =
        seen.split_once("\nend").unwrap_or_else(|| panic!("it has not come to its end: {dom}"));
    seen.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn dump(url: &str) -> String {
    let folder = new_folder();
    let mut browser: Command = command(&program("chromium"), &folder);
    let profile = format!("--user-data-dir={}", folder.display());
    browser.env("HOME", &folder).args([
        "--headless",
        // The tests may run as root, and see nothing but their own pages.
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        // Until so much time of the page's own clock has passed, which stands still while it waits for answers.
        "--virtual-time-budget=60000",
        "--dump-dom",
        &profile,
        url,
    ]);
    let output = browser.output().unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn page(service: &str, tenant: &str) -> String {
    let named = format!(r#"{{"x-tenant-id": "{tenant}", "authorization": "Bearer expired"}}"#);
    let tenant = format!(r#"{{"x-tenant-id": "{tenant}"}}"#);
    let requests = [
        format!(r#"["GET", "/api/v1/orders/5", {tenant}]"#),
        format!(r#"["DELETE", "/api/v1/orders/6", {tenant}]"#),
        format!(r#"["GET", "/api/v1/orders/7", {named}]"#),
        r#"["GET", "/api/v1/orders/8", {}]"#.to_owned(),
        format!(r#"["GET", "/api/v1/orders/5/invoice", {tenant}]"#),
        r#"["GET", "/api/v1/orders/9", {"x-tenant-id": "no id"}]"#.to_owned(),
        format!(r#"["GET", "/api/v1/forgotten", {tenant}]"#),
        r#"["GET", "/health", {}]"#.to_owned(),
    ];
    PAGE.replace("REQUESTS", &format!("[{}]", requests.join(","))).replace("SERVICE", service)
}

on_both_proxies! {
    async fn an_applications_page_reads_answers_and_refusals_from_another_origin(kind: Kind) {
        let (shipped, ours) = match kind {
            Kind::Envoy => (r"https://([a-z0-9-]+\\.)?erp\\.example", r"http://127\\.0\\.0\\.1:[0-9]+"),
            Kind::Nginx => (r"https://([a-z0-9-]+\.)?erp\.example", r"http://127\.0\.0\.1:[0-9]+"),
        };
        let mesh = Mesh::with_routes_changed(kind, seeded().await, ROUTES, &[], &[(shipped, ours)]).await;
        let service = format!("http://{}", mesh.address());
        let seen = look_at(page(&service, &id(1))).await;
        assert_eq!(
            seen,
            [
                "/api/v1/orders/5 200",
                "/api/v1/orders/6 200",
                "/api/v1/orders/7 401 TOKEN_INVALID Bearer error=\"invalid_token\" TOKEN_INVALID",
                "/api/v1/orders/8 401 TENANT_NOT_FOUND Bearer TENANT_NOT_FOUND",
                "/api/v1/orders/5/invoice 403 NOT_SUBSCRIBED  NOT_SUBSCRIBED",
                "/api/v1/orders/9 400 INVALID_FIELD  INVALID_FIELD",
                "/api/v1/forgotten 403 ROUTE_NOT_MAPPED  ROUTE_NOT_MAPPED",
                "/health 200",
            ]
        );
    }
}

on_both_proxies! {
    async fn a_page_of_somebody_else_reads_nothing(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let service = format!("http://{}", mesh.address());
        let seen = look_at(page(&service, &id(1))).await;
        assert_eq!(seen.len(), 8);
        for line in seen {
            assert!(line.ends_with("cannot be read"), "{line}");
        }
    }
}

on_both_proxies! {
    async fn a_preflight_of_a_known_origin_is_answered_by_the_proxy_itself(kind: Kind) {
        let mesh = Mesh::with_routes(kind, seeded().await, ROUTES, &[]).await;
        let preflight = |origin| [("origin", origin), ("access-control-request-method", "DELETE"), ("access-control-request-headers", "x-tenant-id")];
        let known = mesh.send("OPTIONS", "/api/v1/orders/5", &preflight(CORS_ORIGIN)).await;
        assert!([200, 204].contains(&known.status), "{known:?}");
        let head = known.head.to_lowercase();
        for line in [
            &format!("access-control-allow-origin: {CORS_ORIGIN}"),
            "access-control-allow-methods: get, post, put, patch, delete",
            "access-control-allow-headers: authorization, content-type, x-tenant-id, x-request-id",
            "access-control-allow-credentials: true",
            "access-control-max-age: 600",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        assert!(!known.body.contains("headers"), "it has reached the service: {known:?}");
        for origin in ["https://evil.example", "null", "https://erp.example.evil.example"] {
            let unknown = mesh.send("OPTIONS", "/api/v1/orders/5", &preflight(origin)).await;
            assert!(unknown.body.contains("headers"), "the service answers it: {unknown:?}");
            assert!(!allows(&unknown.head, origin), "{unknown:?}");
        }
        // Never two answers to whom it allows: browsers take neither.
        for (origin, target, allowed) in [
            (CORS_ORIGIN, "/health", CORS_ORIGIN),
            (CORS_ORIGIN, "/api/v1/orders", CORS_ORIGIN),
            (ALLOWED_BY_THE_SERVICE, "/health", ALLOWED_BY_THE_SERVICE),
        ] {
            let reply = mesh.get(target, &[("origin", origin)]).await;
            assert_eq!(reply.head.matches("access-control-allow-origin").count(), 1, "{reply:?}");
            assert!(allows(&reply.head, allowed), "{reply:?}");
        }
    }
}
