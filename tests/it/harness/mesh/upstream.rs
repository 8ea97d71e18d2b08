//! Services behind a proxy, which show what reaches them.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Response, StatusCode, header::ACCESS_CONTROL_ALLOW_ORIGIN},
    response::IntoResponse,
    routing::any,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::AbortHandle,
};
use tower_service::Service;

use super::super::{
    keeper::{Keeper, new_folder},
    postgres::free_port,
};

/// A service that answers every request with what it got of it, WebSockets with what they say, and
/// gRPC's health checks. Ends when it is dropped.
pub struct Upstream {
    pub port: u16,
    called: Arc<Mutex<Value>>,
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
        let called = Arc::new(Mutex::new(Value::Null));
        let service = Router::new()
            .route("/grpc.health.v1.Health/{method}", any(call))
            .with_state(called.clone())
            .fallback(show);
        let task = tokio::spawn(async { axum::serve(listener, service).await.unwrap() });
        Self { port, called, task: task.abort_handle() }
    }

    /// The headers of the last call of gRPC that reached it, by name.
    pub fn called_with(&self) -> Value {
        self.called.lock().clone()
    }
}

/// An origin whose pages the service lets read its answers, whatever a proxy does.
pub const ALLOWED_BY_THE_SERVICE: &str = "https://elsewhere.example";

/// The request: its target, its body, and its headers under `headers`.
async fn show(mut request: Request) -> Response<Body> {
    if let Some(key) = request.headers().get("sec-websocket-key") {
        let accepted = accepted(key.as_bytes());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async { echo(TokioIo::new(upgrade.await.unwrap())).await });
        let saw = shown(request.headers());
        let saw = |name: &str| saw[name].as_str().unwrap_or_default().to_owned();
        let headers = [
            ("connection", "upgrade".to_owned()),
            ("upgrade", "websocket".to_owned()),
            ("sec-websocket-accept", accepted),
            ("x-saw-tenant", saw("x-tenant-id")),
            ("x-saw-schema", saw("x-tenant-schema")),
        ];
        return (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let shown = json!({
        "target": parts.uri.to_string(),
        "method": parts.method.as_str(),
        "headers": shown(&parts.headers),
        "body": String::from_utf8(body.into()).unwrap(),
    });
    ([(ACCESS_CONTROL_ALLOW_ORIGIN, ALLOWED_BY_THE_SERVICE)], shown.to_string()).into_response()
}

/// Values of headers that came several times are joined by commas.
fn shown(headers: &HeaderMap) -> Value {
    let joined = |name| {
        let values: Vec<_> =
            headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join(",")
    };
    headers.keys().map(|name| (name.to_string(), Value::from(joined(name)))).collect()
}

/// The answer to a client's key (RFC 6455, 1.3).
fn accepted(key: &[u8]) -> String {
    let words = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &words))
}

/// Answers each frame of at most 125 bytes with the same words, which only a client masks.
async fn echo(mut stream: TokioIo<hyper::upgrade::Upgraded>) {
    let mut head = [0; 6];
    while stream.read_exact(&mut head).await.is_ok() {
        let [kind, length, mask @ ..] = head;
        let length = length & 0x7f;
        let mut words = vec![0; length.into()];
        stream.read_exact(&mut words).await.unwrap();
        for (byte, mask) in words.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        stream.write_all(&[&[kind, length][..], &words].concat()).await.unwrap();
    }
}

/// gRPC's own service of health checks.
async fn call(State(called): State<Arc<Mutex<Value>>>, request: Request) -> Response<Body> {
    *called.lock() = shown(request.headers());
    let (_reporter, mut health) = tonic_health::server::health_reporter();
    health.call(request).await.unwrap().map(Body::new)
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
