//! Methods that are spelled in another case, which some frameworks run all the same.

use std::{io::Write, net::SocketAddr};

use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{Kind, Mesh, seeded};
use crate::harness::{
    Server, id,
    mesh::{port_of, send_to},
};

/// A guarded method beside a public rule, and one that is not enforced yet.
const ROUTES: &str = r#"
    [[route]]
    path = "/api/v1/orders/{id}"
    methods = ["DELETE", "VERSION-CONTROL"]
    module = "finance"

    [[route]]
    path = "/api/v1/new/{id}"
    methods = ["DELETE"]
    module = "finance"
    enforce = false

    [[route]]
    path = "/api/**"
    access = "public"
"#;

/// None of them is a method, and a server that does not look closely runs the first three as
/// DELETE.
const SPELLINGS: [&str; 7] = ["delete", "Delete", "DELETe", "get", "DELETE-", "DEL_ETE", "GET1"];

/// Over HTTP/2, where a method may be any token.
async fn send_h2(address: SocketAddr, method: &str, target: &str) -> (u16, String) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(format!("http://service.internal{target}"))
        .header("x-tenant-id", id(1));
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_envoy_only_a_method_in_capital_letters_passes_whatever_is_enforced() {
    for flags in [&[][..], &["--enforce", "off"], &["--unmatched", "allow"]] {
        let mesh = Mesh::with_routes(Kind::Envoy, seeded().await, ROUTES, flags).await;
        for target in ["/api/v1/orders/5", "/api/v1/new/5", "/api/v1/other", "/forgotten"] {
            for method in SPELLINGS {
                let (status, body) = send_h2(mesh.proxy.address, method, target).await;
                assert_eq!(status, 400, "{flags:?}: {method} {target}: {body}");
                assert!(
                    body.contains("INVALID_FIELD") && body.contains("capital letters"),
                    "{body}"
                );
            }
        }
        let guarded = if flags.contains(&"off") { 200 } else { 403 };
        for (method, target, status) in [
            ("DELETE", "/api/v1/orders/5", guarded),
            ("VERSION-CONTROL", "/api/v1/orders/5", guarded),
            ("M-SEARCH", "/api/v1/orders/5", 200),
            ("DELETE", "/api/v1/new/5", 200),
        ] {
            assert_eq!(
                send_h2(mesh.proxy.address, method, target).await.0,
                status,
                "{flags:?}: {method} {target}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_auth_answers_only_methods_in_capital_letters_whatever_is_enforced() {
    let mut routes = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    routes.write_all(ROUTES.as_bytes()).unwrap();
    for (codes, headers, refused) in [
        ("full", ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"], 400),
        ("nginx", ["x-original-method", "x-original-uri", "x-original-host"], 403),
    ] {
        for enforce in ["on", "off"] {
            let own = [
                "--forward-auth-listen",
                "127.0.0.1:0",
                "--forward-auth-codes",
                codes,
                "--enforce",
                enforce,
            ];
            let flags = [&own[..], &["--routes", routes.path().to_str().unwrap()]].concat();
            let server = Server::start_with(seeded().await, &flags).await;
            let port = port_of(server.running.forward_auth_address.as_ref().unwrap());
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            for target in ["/api/v1/orders/5", "/api/v1/new/5", "/api/v1/other"] {
                for method in SPELLINGS {
                    let asked = [
                        (headers[0], method),
                        (headers[1], target),
                        (headers[2], "service.internal"),
                    ];
                    let reply = send_to(address, "GET", "/", &asked).await;
                    assert_eq!(
                        reply.status, refused,
                        "{codes}, {enforce}: {method} {target}: {reply:?}"
                    );
                    assert!(
                        reply.head.contains("x-entitlement-reason: invalid_field"),
                        "{reply:?}"
                    );
                }
            }
        }
    }
}
