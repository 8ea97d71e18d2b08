//! Real proxies in front of a service that shows what reaches it.

pub mod http1;
pub mod shipped;
pub mod upstream;

use std::net::SocketAddr;

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
use serde_json::Value;
pub use shipped::{Kind, Shipped};
pub use upstream::Upstream;

use super::http::{Reply, send};

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
