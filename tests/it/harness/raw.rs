//! A gRPC call without a gRPC client, which would keep deadlines of its own.

use entitlementd::config::ListenAddress;
use http::{Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::server::check_request;

/// How a call ended.
pub struct Answer {
    pub grpc_status: Code,
    /// The word of the ErrorInfo, if there is one.
    pub reason: String,
}

/// CheckModule, with these headers and no others.
pub async fn check(
    address: &ListenAddress,
    tenant: u32,
    module: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let ListenAddress::Tcp(address) = address else { panic!("no address") };
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);

    let message = check_request(tenant, module).encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    let uri: Uri =
        format!("http://{address}/entitlement.v1.EntitlementService/CheckModule").parse().unwrap();
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
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let status = Status::from_header_map(&trailers)
        .or_else(|| Status::from_header_map(&parts.headers))
        .unwrap();
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone()).unwrap_or_default();
    Answer { grpc_status: status.code(), reason }
}
