//! Envoy's external authorization, to and from the wire.

mod read;
mod write;

use std::borrow::Cow;

use prost::Message;
use tonic::{Code, Status};

use self::read::Attributes;
use crate::{
    domain::{ModuleCode, TenantId, limits::MAX_AUTHZ_REQUEST_BYTES},
    proto::envoy::{
        CheckRequest, CheckResponse,
        config::core::v3::{HeaderValue, HeaderValueOption},
        service::auth::v3::DeniedHttpResponse,
        r#type::v3::HttpStatus,
    },
    service::{
        caller::CallerIdentity,
        gateway::{AuthzDecision, AuthzRequest, Refusal, Verdict, speaks_grpc},
        grpc::status,
        request_id::is_request_id,
    },
};

/// What a proxy reports about an HTTP request.
pub(in crate::service) struct ProxyAttributes<'a>(Attributes<'a>);

/// Reads a proxy's attributes.
pub(in crate::service) fn proxy_attributes<'a>(
    request: &'a CheckRequest,
    tenant_header: &str,
) -> Result<ProxyAttributes<'a>, Status> {
    let read = Attributes::read(&request.attributes, tenant_header);
    let attributes = read.map_err(|_| status::malformed_request(MAX_AUTHZ_REQUEST_BYTES))?;
    if attributes.is_http {
        Ok(ProxyAttributes(attributes))
    } else {
        Err(status::no_http_request())
    }
}

impl ProxyAttributes<'_> {
    /// The client's identity, by the certificate that the proxy has verified; empty: it showed
    /// none.
    pub(in crate::service) fn principal(&self) -> &str {
        self.0.principal
    }

    /// The question about the HTTP request.
    pub(in crate::service) fn authz_request<'a>(
        &'a self,
        caller: CallerIdentity<'a>,
        by_certificate: Option<TenantId>,
        tenant_header: &'a str,
    ) -> AuthzRequest<'a> {
        let Attributes { method, path, host, tenant_id, authorization, .. } = &self.0;
        let is_preflight = [&self.0.origin, &self.0.access_control_request_method];
        AuthzRequest {
            caller,
            by_certificate,
            method,
            target: path,
            host: Some(*host).filter(|host| !host.is_empty()),
            tenant_header,
            tenant_id: tenant_id.value(),
            authorization: authorization.value(),
            request_id: self.0.request_id.value().filter(|id| is_request_id(id)),
            traceparent: self.0.traceparent.value(),
            is_preflight: is_preflight.into_iter().all(|header| header.value().is_some()),
            obstacle: None,
        }
    }

    /// Does the HTTP request speak gRPC?
    pub(in crate::service) fn speaks_grpc(&self) -> bool {
        self.0.content_type.value().is_some_and(speaks_grpc)
    }
}

/// The answer to Envoy: a refusal is an answer too. `speaks_grpc`: so does the client.
pub(in crate::service) fn authz_response(
    authz_decision: &AuthzDecision,
    speaks_grpc: bool,
) -> CheckResponse {
    let attributes = authz_decision.headers_to_set();
    let dynamic_metadata = Some(metadata(authz_decision, &attributes));
    let (code, ok_response, denied_response) = match &authz_decision.verdict {
        Verdict::Refused(refusal) => {
            (Code::PermissionDenied, None, Some(denied(refusal, speaks_grpc).encode_to_vec()))
        }
        Verdict::Public | Verdict::Granted | Verdict::WouldDeny(_) => {
            let set = attributes.iter().map(|(name, value)| (*name, &**value));
            (
                Code::Ok,
                Some(write::ok_response(set, AuthzDecision::headers_to_remove(&attributes))),
                None,
            )
        }
    };
    let status = Some(tonic_types::Status { code: code.into(), ..Default::default() });
    CheckResponse { status, denied_response, ok_response, dynamic_metadata }
}

/// Of a refusal of gRPC, Envoy makes a response of gRPC: it takes the code from the headers, and the body
/// for the message.
fn denied(refusal: &Refusal, speaks_grpc: bool) -> DeniedHttpResponse {
    let (name, value, body) = if speaks_grpc {
        ("grpc-status", refusal.grpc_status(), refusal.detail().to_owned())
    } else {
        ("content-type", Refusal::PROBLEM_TYPE, refusal.problem())
    };
    let headers = refusal.headers().into_iter().chain([(name, value.to_owned())]);
    let set = |(key, value): (&'static str, String)| HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value, raw_value: Vec::new() }),
        append: Some(false),
    };
    DeniedHttpResponse {
        status: Some(HttpStatus { code: refusal.status().as_u16().into() }),
        headers: headers.map(set).collect(),
        body,
    }
}

/// For access logs. Unknown values are omitted. Numbers are strings: a JSON number does not hold 64
/// bits.
fn metadata(
    authz_decision: &AuthzDecision,
    attributes: &[(&'static str, Cow<'_, str>)],
) -> Vec<u8> {
    let attributes = |name: &str| {
        attributes.iter().find(|(attributes, _)| *attributes == name).map(|(_, value)| &**value)
    };
    let fields = [
        ("decision", Some(authz_decision.word())),
        ("reason", authz_decision.refusal().map(Refusal::reason)),
        ("route", authz_decision.route()),
        ("module", authz_decision.module.as_ref().map(ModuleCode::as_str)),
        ("feature", authz_decision.feature()),
        ("tenant_id", attributes("x-tenant-id")),
        ("revision", attributes("x-entitlement-revision")),
    ];
    write::texts(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
}
