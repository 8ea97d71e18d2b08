//! A real Envoy in front of a service that shows what reaches it.

use std::{fs, net::SocketAddr, path::Path};

use axum::{
    Router, extract::Request, http::header::ACCESS_CONTROL_ALLOW_ORIGIN, response::IntoResponse,
};
use entitlementd::{
    config::ListenAddress,
    proto::envoy::{
        CheckRequest,
        service::auth::v3::{
            AttributeContext,
            attribute_context::{self, HttpRequest, Peer},
        },
    },
};
use prost::Message;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

use super::{
    http::{Reply, send},
    keeper::{Keeper, new_folder},
    postgres::free_port,
};

/// What operators run.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// A service that answers every request with what it got of it. Ends when it is dropped.
pub struct Upstream {
    pub port: u16,
    task: AbortHandle,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async {
            axum::serve(listener, Router::new().fallback(show)).await.unwrap()
        });
        Self { port, task: task.abort_handle() }
    }
}

/// An origin whose pages the service lets read its answers, whatever a proxy does.
pub const ALLOWED_BY_THE_SERVICE: &str = "https://elsewhere.example";

/// The request's headers, under `headers`, and its target.
async fn show(request: Request) -> impl IntoResponse {
    let mut headers = serde_json::Map::new();
    for name in request.headers().keys() {
        let values: Vec<_> =
            request.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        headers.insert(name.to_string(), json!(values.join(",")));
    }
    let body = json!({ "target": request.uri().to_string(), "headers": headers }).to_string();
    ([(ACCESS_CONTROL_ALLOW_ORIGIN, ALLOWED_BY_THE_SERVICE)], body)
}

/// The service that `docs/gateway.md` starts.
pub struct Echo {
    pub port: u16,
    _keeper: Keeper,
}

impl Echo {
    pub fn start() -> Self {
        let port = free_port();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/envoy/echo.py");
        let keeper =
            Keeper::start_as_us(new_folder(), "KILL", "python3", [script, &port.to_string()]);
        keeper.wait_for("listening", 0);
        Self { port, _keeper: keeper }
    }
}

/// An Envoy with the configuration that is shipped, but for its ports.
pub struct Envoy {
    pub address: SocketAddr,
    keeper: Keeper,
}

impl Envoy {
    /// Starts one between clients and a service, which asks whatever listens on `authorizer`.
    pub fn start(upstream: u16, authorizer: u16) -> Self {
        Self::start_changed(upstream, authorizer, &[])
    }

    /// The same with some words of the configuration replaced.
    pub fn start_changed(upstream: u16, authorizer: u16, changes: &[(&str, &str)]) -> Self {
        let folder = new_folder();
        let port = free_port();
        let port_of = |port: u16| format!("port_value: {port} ");
        let ports = [(10000, port), (8000, upstream), (50051, authorizer)]
            .map(|(from, to)| (port_of(from), port_of(to)));
        let changes = changes.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        let text = changed("envoy/envoy.yaml", ports.into_iter().chain(changes));
        fs::write(folder.join("envoy.yaml"), text).unwrap();
        let flags = [
            "-c",
            "envoy.yaml",
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ];
        let keeper = Keeper::start_as_us(folder, "KILL", "envoy", flags);
        let envoy = Self { address: SocketAddr::from(([127, 0, 0, 1], port)), keeper };
        super::keeper::until("Envoy listens", || {
            std::net::TcpStream::connect(envoy.address).is_ok()
        });
        envoy
    }

    /// What it logged, its access log among it.
    pub fn log(&self) -> String {
        self.keeper.log()
    }

    /// Sends a request with these headers, and reads the answer.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        send_to(self.address, method, target, headers).await
    }
}

/// An nginx with the configuration that is shipped, but for its ports.
pub struct Nginx {
    pub address: SocketAddr,
    keeper: Keeper,
}

impl Nginx {
    /// Starts one between clients and a service, which asks whatever listens on `authorizer`, with
    /// some words of the configuration replaced.
    pub fn start(upstream: u16, authorizer: u16, changes: &[(&str, &str)]) -> Self {
        let folder = new_folder();
        let (port, grpc_port) = (free_port(), free_port());
        let ports = [
            ("listen 10080;".to_owned(), format!("listen 127.0.0.1:{port};")),
            ("listen 10090 ".to_owned(), format!("listen 127.0.0.1:{grpc_port} ")),
            ("127.0.0.1:8000".to_owned(), format!("127.0.0.1:{upstream}")),
            ("127.0.0.1:9191".to_owned(), format!("127.0.0.1:{authorizer}")),
        ];
        let changes = changes.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        let text = changed("nginx/nginx.conf", ports.into_iter().chain(changes));
        fs::write(folder.join("nginx.conf"), text).unwrap();
        let here = format!("{}/", folder.display());
        let keeper = Keeper::start(
            folder,
            "TERM",
            "nginx",
            ["-p", &here, "-e", "stderr", "-c", "nginx.conf"],
        );
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        super::keeper::until("nginx listens", || std::net::TcpStream::connect(address).is_ok());
        Self { address, keeper }
    }

    pub fn log(&self) -> String {
        self.keeper.log()
    }
}

/// A shipped file, with words of it replaced.
fn changed(file: &str, changes: impl IntoIterator<Item = (String, String)>) -> String {
    let text = fs::read_to_string(Path::new(DEPLOY).join(file)).unwrap();
    changes.into_iter().fold(text, |text, (from, to)| {
        assert!(text.contains(&from), "{file} has no {from:?}");
        text.replace(&from, &to)
    })
}

/// Sends a request over a connection of its own. Without a host among the headers there is one that
/// names no tenant.
pub async fn send_to(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
) -> Reply {
    let mut request = format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str("host: service.internal\r\n");
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    send(address, &(request + "\r\n")).await
}

impl Reply {
    /// The body as JSON: what the service saw, or why the request did not reach it.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A header that the service got; empty: it got none.
    pub fn seen(&self, header: &str) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["headers"][header].as_str().unwrap_or_default().to_owned()
    }

    /// Why the request was refused.
    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_else(|| panic!("no reason: {self:?}")).to_owned()
    }
}

/// What Envoy asks about a GET with these headers. `principal`: whose certificate its client showed.
pub fn envoy_asks(
    path: &str,
    headers: impl IntoIterator<Item = (&'static str, String)>,
    principal: Option<&str>,
) -> CheckRequest {
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let http =
        HttpRequest { method: "GET".into(), path: path.into(), headers, ..Default::default() };
    let attributes = AttributeContext {
        source: principal.map(|principal| Peer { principal: principal.to_owned() }),
        request: Some(attribute_context::Request { http: Some(http) }),
    };
    CheckRequest { attributes: attributes.encode_to_vec().into() }
}

/// The port of a server that listens on TCP.
pub fn port_of(address: &ListenAddress) -> u16 {
    match address {
        ListenAddress::Tcp(address) => address.port(),
        ListenAddress::Unix(socket) => panic!("listens on {socket}"),
    }
}
