//! Envoy's external authorization, to and from the wire.

use std::collections::BTreeMap;

use prost_types::{Struct, Value, value::Kind};
use tonic::{Code, Request, Status};

use crate::{
    domain::{ModuleCode, TenantId},
    proto::envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption},
        service::auth::v3::{
            CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse, attribute_context::HttpRequest,
            check_response::HttpResponse,
        },
        r#type::v3::HttpStatus,
    },
    service::{
        asker::Asker,
        gateway::{Inquiry, Ruling, Verdict},
        status,
    },
};

/// The headers of a request that matter.
#[derive(Default)]
pub(in crate::service) struct AskedHeaders {
    tenant_id: Option<String>,
    authorization: Option<String>,
    is_preflight: bool,
}

fn http_of(request: &CheckRequest) -> Option<&HttpRequest> {
    request.attributes.as_ref()?.request.as_ref()?.http.as_ref()
}

/// Finds the headers that matter, in either form in which Envoy sends them.
pub(in crate::service) fn asked_headers(request: &CheckRequest, tenant_header: &str) -> AskedHeaders {
    let Some(http) = http_of(request) else { return AskedHeaders::default() };
    let header = |name: &str| header(http, name).filter(|value| !value.is_empty());
    AskedHeaders {
        tenant_id: header(tenant_header),
        authorization: header("authorization"),
        is_preflight: header("origin").is_some() && header("access-control-request-method").is_some(),
    }
}

/// A header's value. Several of one name are one list (RFC 9110, section 5.3).
fn header(http: &HttpRequest, name: &str) -> Option<String> {
    if let Some(value) = http.headers.get(name) {
        return Some(value.clone());
    }
    let raw = http.header_map.iter().flat_map(|map| &map.headers).filter(|header| header.key == name);
    let values: Vec<_> = raw
        .map(|header| match &*header.raw_value {
            [] => header.value.clone(),
            raw => String::from_utf8_lossy(raw).into_owned(),
        })
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// Who the client is, by the certificate that the proxy has verified; empty: it has shown none.
pub(in crate::service) fn principal(request: &CheckRequest) -> &str {
    let source = request.attributes.as_ref().and_then(|attributes| attributes.source.as_ref());
    source.map_or("", |source| &source.principal)
}

/// What is asked.
pub(in crate::service) fn inquiry<'a>(
    request: &'a Request<CheckRequest>,
    headers: &'a AskedHeaders,
    by_certificate: Option<TenantId>,
) -> Result<Inquiry<'a>, Status> {
    let http = http_of(request.get_ref()).ok_or_else(status::no_http_request)?;
    Ok(Inquiry {
        asker: Asker::of(request.extensions()),
        by_certificate,
        method: &http.method,
        target: &http.path,
        host: Some(http.host.as_str()).filter(|host| !host.is_empty()),
        tenant_id: headers.tenant_id.as_deref(),
        authorization: headers.authorization.as_deref(),
        is_preflight: headers.is_preflight,
    })
}

/// The answer to Envoy: that it is refused is an answer too.
pub(in crate::service) fn check_ruling(ruling: &Ruling) -> CheckResponse {
    let (code, response) = match &ruling.verdict {
        Verdict::Refused(refusal) => {
            let denied = DeniedHttpResponse {
                status: Some(HttpStatus { code: refusal.status.as_u16().into() }),
                headers: set(refusal.headers()),
                body: refusal.body(),
            };
            (Code::PermissionDenied, HttpResponse::DeniedResponse(denied))
        }
        Verdict::Public | Verdict::Granted | Verdict::WouldDeny(_) => {
            let told = ruling.told();
            let headers_to_remove = Ruling::untold(&told).map(str::to_owned).collect();
            (Code::Ok, HttpResponse::OkResponse(OkHttpResponse { headers_to_remove, headers: set(told) }))
        }
    };
    CheckResponse {
        status: Some(tonic_types::Status { code: code.into(), ..Default::default() }),
        http_response: Some(response),
        dynamic_metadata: Some(metadata(ruling)),
    }
}

fn set(headers: Vec<(&'static str, String)>) -> Vec<HeaderValueOption> {
    let set = |(key, value): (&'static str, String)| HeaderValueOption {
        header: Some(HeaderValue { key: key.to_owned(), value, raw_value: Vec::new() }),
        append: Some(false),
    };
    headers.into_iter().map(set).collect()
}

/// For access logs. What is not known is left out.
fn metadata(ruling: &Ruling) -> Struct {
    let text = |text: String| Value { kind: Some(Kind::StringValue(text)) };
    let tenant = ruling.tenant.as_ref().map(|resolved| &resolved.facts);
    let fields = [
        ("decision", Some(text(ruling.word().to_owned()))),
        ("reason", ruling.refusal().map(|refusal| text(refusal.reason.to_owned()))),
        ("route", ruling.route().map(text)),
        ("module", ruling.module.as_ref().map(ModuleCode::to_string).map(text)),
        ("tenant_id", tenant.map(|facts| text(facts.tenant.id.to_string()))),
        // As text: a number of JSON holds no 64 bits.
        ("revision", tenant.map(|facts| text(facts.revision.to_string()))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Struct { fields: fields.collect::<BTreeMap<_, _>>() }
}
