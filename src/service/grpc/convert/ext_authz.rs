//! Envoy's external authorization, to and from the wire.

mod read;
mod write;

use std::borrow::Cow;

use prost::Message;
use tonic::{Code, Status};

use self::read::Attributes;
use crate::{
    domain::{ModuleCode, TenantId},
    proto::envoy::{
        CheckRequest, CheckResponse,
        config::core::v3::{HeaderValue, HeaderValueOption},
        service::auth::v3::DeniedHttpResponse,
        r#type::v3::HttpStatus,
    },
    service::{
        asker::Asker,
        gateway::{Inquiry, Refusal, Ruling, Verdict},
        grpc::status,
    },
};

/// What a proxy tells of an HTTP request.
pub(in crate::service) struct Told<'a>(Attributes<'a>);

/// Reads what is told.
pub(in crate::service) fn told<'a>(request: &'a CheckRequest, tenant_header: &str) -> Result<Told<'a>, Status> {
    let read = Attributes::read(&request.attributes, tenant_header);
    let attributes = read.map_err(|_| status::malformed_request())?;
    if attributes.is_http { Ok(Told(attributes)) } else { Err(status::no_http_request()) }
}

impl Told<'_> {
    /// Who the client is, by the certificate that the proxy has verified; empty: it has shown none.
    pub(in crate::service) fn principal(&self) -> &str {
        self.0.principal
    }

    /// What is asked.
    pub(in crate::service) fn inquiry<'a>(&'a self, asker: Asker<'a>, by_certificate: Option<TenantId>) -> Inquiry<'a> {
        let Attributes { method, path, host, tenant_id, authorization, .. } = &self.0;
        let is_preflight = [&self.0.origin, &self.0.access_control_request_method];
        Inquiry {
            asker,
            by_certificate,
            method,
            target: path,
            host: Some(*host).filter(|host| !host.is_empty()),
            tenant_id: tenant_id.value(),
            authorization: authorization.value(),
            is_preflight: is_preflight.into_iter().all(|header| header.value().is_some()),
        }
    }
}

/// The answer to Envoy: that it is refused is an answer too.
pub(in crate::service) fn check_ruling(ruling: &Ruling) -> CheckResponse {
    let told = ruling.told();
    let dynamic_metadata = Some(metadata(ruling, &told));
    let (code, ok_response, denied_response) = match &ruling.verdict {
        Verdict::Refused(refusal) => (Code::PermissionDenied, None, Some(denied(refusal).encode_to_vec())),
        Verdict::Public | Verdict::Granted | Verdict::WouldDeny(_) => {
            let set = told.iter().map(|(name, value)| (*name, &**value));
            (Code::Ok, Some(write::ok_response(set, Ruling::untold(&told))), None)
        }
    };
    let status = Some(tonic_types::Status { code: code.into(), ..Default::default() });
    CheckResponse { status, denied_response, ok_response, dynamic_metadata }
}

fn denied(refusal: &Refusal) -> DeniedHttpResponse {
    let set = |(key, value): (&'static str, String)| HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value, raw_value: Vec::new() }),
        append: Some(false),
    };
    DeniedHttpResponse {
        status: Some(HttpStatus { code: refusal.status.as_u16().into() }),
        headers: refusal.headers().into_iter().map(set).collect(),
        body: refusal.body(),
    }
}

/// For access logs. What is not known is left out. Numbers are texts: one of JSON holds no 64 bits.
fn metadata(ruling: &Ruling, told: &[(&'static str, Cow<'_, str>)]) -> Vec<u8> {
    let told = |name: &str| told.iter().find(|(told, _)| *told == name).map(|(_, value)| &**value);
    let fields = [
        ("decision", Some(ruling.word())),
        ("reason", ruling.refusal().map(|refusal| refusal.reason)),
        ("route", ruling.route()),
        ("module", ruling.module.as_ref().map(ModuleCode::as_str)),
        ("tenant_id", told("x-tenant-id")),
        ("revision", told("x-entitlement-revision")),
    ];
    write::texts(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
}
