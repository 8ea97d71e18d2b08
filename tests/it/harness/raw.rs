//! A gRPC call without a gRPC client, which would keep deadlines of its own.

use entitlementd::config::ListenAddress;
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::server::check_request;

/// How a call ended.
pub struct Answer {
    pub grpc_status: Code,
    pub message: String,
    /// The word of the ErrorInfo, if there is one.
    pub reason: String,
    pub headers: HeaderMap,
    /// Its messages, each after a flag and its length.
    pub body: Vec<u8>,
}

/// A message after a flag, which says whether it is compressed, and its length.
pub fn framed(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[u8::from(is_compressed)][..], &length, message].concat()
}

/// CheckModule, with these headers and no others.
pub async fn check(
    address: &ListenAddress,
    tenant: u32,
    module: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let message = check_request(tenant, module).encode_to_vec();
    let path = "/entitlement.v1.EntitlementService/CheckModule";
    call(address, path, headers, framed(false, &message)).await
}

/// A method, with these headers and this body.
pub async fn call(
    address: &ListenAddress,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer {
    let ListenAddress::Tcp(address) = address else { panic!("no address") };
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);

    let uri: Uri = format!("http://{address}{path}").parse().unwrap();
    let mut request =
        Request::post(uri).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender
        .send_request(request.body(Full::<hyper::body::Bytes>::from(body)).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers)
        .or_else(|| Status::from_header_map(&parts.headers))
        .unwrap();
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    let body = body.to_bytes().to_vec();
    let message = status.message().to_owned();
    Answer { grpc_status: status.code(), message, reason, headers: parts.headers, body }
}
