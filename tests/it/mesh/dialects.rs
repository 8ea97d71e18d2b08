//! Each proxy asks by its own convention, and all of them ask one instance.

use std::time::Duration;

use super::forward_auth::{Asked, header};
use crate::harness::{
    http::{Reply, send},
    id,
    mesh::send_to,
    process::{self, Process},
};

/// The dialects that ask in headers, and the headers.
const IN_HEADERS: [(&str, [&str; 3]); 5] = [
    ("forwarded", FORWARDED),
    ("traefik", FORWARDED),
    ("caddy", FORWARDED),
    ("haproxy", FORWARDED),
    ("nginx", ["x-original-method", "x-original-uri", "x-original-host"]),
];
const FORWARDED: [&str; 3] = ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"];

const METERED: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];

const DIALECTS: [&str; 7] =
    ["forwarded", "traefik", "caddy", "haproxy", "nginx", "ingress-nginx", "envoy"];

impl Asked {
    /// As a proxy of this dialect asks that was sent a request with these headers.
    async fn in_dialect(
        &self,
        dialect: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let path = format!("/auth/{dialect}");
        let url = format!("https://service.internal{target}");
        let own = match dialect {
            "envoy" => return self.ask(method, &format!("{path}{target}"), headers).await,
            "ingress-nginx" => vec![("x-original-method", method), ("x-original-url", &url)],
            _ => {
                let (_, names) = IN_HEADERS.iter().find(|(name, _)| *name == dialect).unwrap();
                names.iter().copied().zip([method, target, "service.internal"]).collect()
            }
        };
        self.ask("GET", &path, &[&own, headers].concat()).await
    }
}

/// Does it take no statuses but 401 and 403?
fn takes_few(dialect: &str) -> bool {
    dialect.ends_with("nginx")
}

/// The status that the client is to get, however the proxy is told.
fn true_status(dialect: &str, reply: &Reply) -> u16 {
    match header(reply, "x-entitlement-status") {
        Some(status) => {
            assert!(takes_few(dialect) && [401, 403].contains(&reply.status), "{reply:?}");
            status.parse().unwrap()
        }
        None => reply.status,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_answers_every_dialect_alike() {
    let asked = Asked::start(&[]).await;
    let (own, other) = (id(1), id(9));
    let twice = [("x-tenant-id", own.as_str()), ("x-tenant-id", own.as_str())];
    for dialect in DIALECTS {
        for (method, target, headers, status, reason) in [
            ("GET", "/api/v1/orders/5", &twice[..1], 200, None),
            ("POST", "/api/v1/orders/5?q=/health", &twice[..1], 200, None),
            ("GET", "/health?x=1", &[], 200, None),
            ("GET", "/api/v1/orders/5/invoice", &twice[..1], 403, Some("not_subscribed")),
            (
                "GET",
                "/api/v1/me",
                &[("x-tenant-id", other.as_str())],
                404,
                Some("tenant_not_found"),
            ),
            ("GET", "/api/v1/me", &[("x-tenant-id", "acme")], 400, Some("invalid_field")),
            ("GET", "/api/v1/me", &twice, 400, Some("invalid_field")),
            ("GET", "/api/v1/me", &[], 401, Some("tenant_not_found")),
            ("GET", "/api//v1/me", &twice[..1], 400, Some("path_refused")),
            ("GET", "/api/v1/forgotten", &twice[..1], 403, Some("route_not_mapped")),
            ("get", "/api/v1/me", &twice[..1], 400, Some("invalid_field")),
        ] {
            let reply = asked.in_dialect(dialect, method, target, headers).await;
            let told = (true_status(dialect, &reply), header(&reply, "x-entitlement-reason"));
            assert_eq!(told, (status, reason), "{dialect}: {method} {target} {headers:?}");
            assert!(status == 200 || header(&reply, "x-tenant-id") == Some(""), "{reply:?}");
            if status != 200 && !takes_few(dialect) {
                let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
                assert_eq!(body["status"], status, "{dialect}: {reply:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_host_names_the_tenant_in_every_dialect() {
    let asked = Asked::start(&["--base-domain", "erp.example"]).await;
    let host = "tenant-1.erp.example";
    for (dialect, [method, target, host_header]) in IN_HEADERS {
        let path = format!("/auth/{dialect}");
        let said = [(method, "GET"), (target, "/api/v1/me"), (host_header, host)];
        let reply = asked.ask("GET", &path, &said).await;
        assert_eq!(header(&reply, "x-tenant-subdomain"), Some("tenant-1"), "{dialect}: {reply:?}");
        // A proxy that does not say passes on the client's own.
        let said = [(method, "GET"), (target, "/api/v1/me"), ("host", host)];
        let reply = asked.ask("GET", &path, &said).await;
        assert_eq!(header(&reply, "x-tenant-subdomain"), Some("tenant-1"), "{dialect}: {reply:?}");
    }
    let url = format!("https://{host}/api/v1/me?x=https://other.example/");
    let said = [("x-original-method", "GET"), ("x-original-url", url.as_str())];
    let reply = asked.ask("GET", "/auth/ingress-nginx", &said).await;
    assert_eq!(header(&reply, "x-tenant-subdomain"), Some("tenant-1"), "{reply:?}");
    let reply = asked.ask("GET", "/auth/envoy/api/v1/me", &[("host", host)]).await;
    assert_eq!(header(&reply, "x-tenant-subdomain"), Some("tenant-1"), "{reply:?}");
    // A host that would end before the path does, in whatever way a client spells it.
    for host in ["a.example?", "a.example#", "a.example\\", "u@a.example"] {
        let url = format!("https://{host}/health");
        let said = [("x-original-method", "GET"), ("x-original-url", url.as_str())];
        let reply = asked.ask("GET", "/auth/ingress-nginx", &said).await;
        assert_eq!(true_status("ingress-nginx", &reply), 400, "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dialect_may_have_a_tenant_header_of_its_own_and_a_client_reads_the_name_that_it_sent()
{
    let asked = Asked::start(&[
        "--tenant-header",
        "x-claimed-tenant-id",
        "--forward-auth-tenant-header",
        "nginx=x-tenant-id",
        "--forward-auth-tenant-header",
        "caddy=x-org",
    ])
    .await;
    let own = id(1);
    for (dialect, sent, named) in [
        ("traefik", "x-claimed-tenant-id", "x-tenant-id"),
        ("envoy", "x-claimed-tenant-id", "x-tenant-id"),
        ("nginx", "x-tenant-id", "x-tenant-id"),
        ("caddy", "x-org", "x-org"),
    ] {
        let granted = asked.in_dialect(dialect, "GET", "/api/v1/me", &[(sent, &own)]).await;
        assert_eq!((granted.status, header(&granted, "x-tenant-id")), (200, Some(own.as_str())));
        for (headers, problem) in [
            (&[(sent, "acme")][..], "must be a UUID"),
            (&[(sent, &own), (sent, &own)], "came more than once"),
        ] {
            let refused = asked.in_dialect(dialect, "GET", "/api/v1/me", headers).await;
            assert_eq!(true_status(dialect, &refused), 400);
            let problem = format!("the header {named} {problem}").to_lowercase();
            let told = format!("{}{}", refused.head, refused.body.to_lowercase());
            assert!(told.contains(&problem), "{dialect}: {problem} in {told}");
        }
    }
    let other =
        asked.in_dialect("nginx", "GET", "/api/v1/me", &[("x-claimed-tenant-id", &own)]).await;
    assert_eq!(other.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_does_not_say_what_is_asked_for_lets_nobody_pass_and_is_counted_by_the_header()
{
    let asked = Asked::start(&METERED).await;
    let own = id(1);
    let tenant = ("x-tenant-id", own.as_str());
    // A client's own words for another kind of proxy, and proxies that add to what a client has sent.
    let foreign = [("x-original-method", "GET"), ("x-original-uri", "/health"), tenant];
    let unset = [("x-forwarded-method", "GET"), tenant];
    let twice = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-uri", "/health"),
        ("x-forwarded-uri", "/api/v1/payouts"),
        tenant,
    ];
    let url = [("x-original-method", "GET"), ("x-original-uri", "/health"), tenant];
    for (path, headers, header) in [
        ("/health", &foreign[..], "x-forwarded-method"),
        ("/auth/traefik", &unset, "x-forwarded-uri"),
        ("/auth/caddy", &twice, "x-forwarded-uri"),
        ("/auth/nginx", &unset, "x-original-method"),
        ("/auth/nginx", &foreign[..1], "x-original-uri"),
        ("/auth/ingress-nginx", &url, "x-original-url"),
        ("/auth/traefic", &unset, ":path"),
    ] {
        let before = asked.metrics().await;
        for _ in 0..2 {
            let reply = asked.ask("GET", path, headers).await;
            let status = header_of_status(&reply);
            assert_eq!(status, 400, "{path}: {reply:?}");
        }
        let series =
            format!("entitlementd_forward_auth_misconfigured_total{{header=\"{header}\"}}");
        let counted = asked.metrics().await.samples[&series] - before.samples[&series];
        assert_eq!(counted, 2.0, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_proxy_that_is_not_set_up_the_operator_reads_one_line_that_names_the_header() {
    let flags = ["--demo", "--listen", "127.0.0.1:0", "--forward-auth-listen", "127.0.0.1:0"];
    let mut server = Process::serve(&flags);
    let address = server.address_of("proxies are answered").parse().unwrap();
    for _ in 0..3 {
        let reply =
            send_to(address, "GET", "/auth/traefik", &[("x-forwarded-method", "GET")]).await;
        assert_eq!(reply.status, 400);
    }
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(10)), 0);
    let lines: Vec<&str> =
        server.logged.lines().filter(|line| line.contains("not set up")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN"), "{}", server.logged);
    for part in
        ["\"dialect\":\"traefik\"", "\"header\":\"x-forwarded-uri\"", "x-forwarded-uri is not set"]
    {
        assert!(lines[0].contains(part), "{part}: {lines:?}");
    }
}

fn header_of_status(reply: &Reply) -> u16 {
    header(reply, "x-entitlement-status").map_or(reply.status, |status| status.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_that_is_not_ascii_is_no_error_in_a_query_and_in_a_path_it_is_its_encoding() {
    let asked = Asked::start(&["--public", "/caf\u{e9}"]).await;
    for (dialect, header) in [("nginx", "original"), ("traefik", "forwarded")] {
        for (target, status) in [
            (&b"/health?name=Jos\xc3\xa9"[..], 200),
            (b"/health?name=Jos\xe9", 200),
            (b"/caf\xc3\xa9", 200),
            (b"/caf%C3%A9", 200),
            (b"/caf\xe9", 400),
            (b"/caf\xc3", 400),
        ] {
            let mut question = format!(
                "GET /auth/{dialect} HTTP/1.1\r\nconnection: close\r\nhost: a\r\nx-{header}-method: GET\r\nx-{header}-uri: "
            )
            .into_bytes();
            question.extend_from_slice(target);
            question.extend_from_slice(b"\r\n\r\n");
            let reply = send(asked.address(), question).await;
            assert_eq!(
                true_status(dialect, &reply),
                status,
                "{dialect}: {}",
                String::from_utf8_lossy(target)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_grpc_gets_a_status_of_grpc_and_a_sentence() {
    let asked = Asked::start(&[]).await;
    let (own, other) = (id(1), id(9));
    for dialect in DIALECTS {
        for (target, tenant, code, message) in [
            ("/api/v1/orders/5/invoice", own.as_str(), "7", "module 'finance' is not enabled"),
            ("/api/v1/me", &other, "5", "does not exist"),
            ("/api/v1/me", "acme", "3", "the header x-tenant-id"),
            ("/api/v1/me", "", "16", "tenant context not found"),
        ] {
            for content_type in ["application/grpc", "application/grpc+proto"] {
                let headers = [("x-tenant-id", tenant), ("content-type", content_type)];
                let reply = asked.in_dialect(dialect, "POST", target, &headers).await;
                let (status, told) = match dialect {
                    "envoy" => ("grpc-status", reply.body.to_lowercase()),
                    _ if takes_few(dialect) => (
                        "x-entitlement-grpc-status",
                        header(&reply, "x-entitlement-grpc-message").unwrap().to_owned(),
                    ),
                    _ => ("grpc-status", header(&reply, "grpc-message").unwrap().to_owned()),
                };
                assert_eq!(header(&reply, status), Some(code), "{dialect} {target}: {reply:?}");
                assert!(
                    told.contains(message) && !told.contains('{'),
                    "{dialect} {target}: {told}"
                );
            }
        }
        let web = [("x-tenant-id", "acme"), ("content-type", "application/grpc-web+proto")];
        let reply = asked.in_dialect(dialect, "POST", "/api/v1/me", &web).await;
        assert!(header(&reply, "grpc-status").is_none(), "{reply:?}");
        assert!(header(&reply, "content-type") == Some("application/problem+json"), "{reply:?}");
    }
}

#[test]
fn a_dialect_that_there_is_not_is_told_of_at_the_start() {
    let flags =
        ["--forward-auth-listen", "127.0.0.1:0", "--forward-auth-tenant-header", "apache=x-org"];
    let ended = process::run(&[&["serve", "--demo"], &flags[..]].concat());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        !ended.status.success() && said.contains("apache") && said.contains("ingress-nginx"),
        "{said}"
    );
}
