//! What proxies are measured with: authorizers that grant everything alike, and a service.

use std::{convert::Infallible, future::ready};

use entitlementd::proto::{
    envoy::{
        CheckRequest, CheckResponse,
        service::auth::v3::authorization_server::{Authorization, AuthorizationServer},
    },
    v1::entitlement_service_server::SERVICE_NAME,
};
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tonic::{Status, async_trait};

/// What the service believes, as an answer about tenant 1 has it.
const GRANTED: [(&str, &str); 7] = [
    ("x-tenant-id", "00000000-0000-4000-8000-000000000001"),
    ("x-tenant-subdomain", "tenant-1"),
    ("x-tenant-schema", "tenant_tenant-1"),
    ("x-tenant-plan", "enterprise"),
    ("x-tenant-verified", "false"),
    ("x-entitlement-revision", "1"),
    ("x-entitlement-would-deny", ""),
];

/// Serves in one of the roles, on one current-thread runtime.
pub async fn serve(role: &str) {
    match role {
        "grpc" => serve_grpc().await,
        "http" => serve_http(granted).await,
        "upstream" => serve_http(|| Response::new(Full::from("{}"))).await,
        other => panic!("no role {other}"),
    }
}

/// hyper's own server, without a timeout or a task but one for each connection.
async fn serve_http(answer: fn() -> Response<Full<Bytes>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    eprintln!("listening on {}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service_fn(move |_: Request<Incoming>| ready(Ok::<_, Infallible>(answer())));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn granted() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    for (name, value) in GRANTED {
        let name = HeaderName::from_static(name);
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // HAProxy knows answers by it.
    response.headers_mut().insert("x-request-id", HeaderValue::from_static("0123456789abcdef"));
    response
}

struct Stub(CheckResponse);

#[async_trait]
impl Authorization for Stub {
    async fn check(
        &self,
        _: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, Status> {
        Ok(tonic::Response::new(self.0.clone()))
    }
}

/// tonic's own server, without layers. Envoy asks for its health.
async fn serve_grpc() {
    let status = tonic_types::Status::default();
    let (ok_response, dynamic_metadata) = (Some(ok_response()), Some(metadata()));
    let answer =
        CheckResponse { status: Some(status), ok_response, dynamic_metadata, ..Default::default() };
    let (health, service) = tonic_health::server::health_reporter();
    health.set_service_status(SERVICE_NAME, tonic_health::ServingStatus::Serving).await;
    let address = "127.0.0.1:0".parse().unwrap();
    let listener = tonic::transport::server::TcpIncoming::bind(address).unwrap();
    eprintln!("listening on {}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder()
        .add_service(service)
        .add_service(AuthorizationServer::new(Stub(answer)));
    server.serve_with_incoming(listener.with_nodelay(Some(true))).await.unwrap();
}

/// An encoded `OkHttpResponse` that sets these headers: its field 2 are options, each with a header
/// in its field 1, whose fields 1 and 2 are the key and the value.
fn ok_response() -> Vec<u8> {
    let field =
        |number: u8, content: &[u8]| [&[number << 3 | 2, content.len() as u8], content].concat();
    let options = GRANTED.iter().map(|(name, value)| {
        let header = [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
        field(2, &field(1, &header))
    });
    options.collect::<Vec<_>>().concat()
}

/// What Envoy writes into its access log, as an answer about tenant 1 has it.
fn metadata() -> Vec<u8> {
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let fields = [
        ("decision", "granted"),
        ("route", "/api/v1/finance/**"),
        ("module", "finance"),
        ("tenant_id", GRANTED[0].1),
        ("revision", "1"),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), text(value))).into();
    prost::Message::encode_to_vec(&prost_types::Struct { fields })
}
