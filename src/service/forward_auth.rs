//! Forward auth over HTTP: nginx's `auth_request`, Traefik's ForwardAuth, Caddy's `forward_auth`.
//!
//! A proxy passes the client's headers on, and describes the request in headers of its own. A
//! client could send those as well, so only the names that the configured kind of proxy always sets
//! are read, and each must occur exactly once.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, ORIGIN},
};
use tonic::body::Body;

use super::{
    Api, Peer,
    caller::CallerIdentity,
    gateway::{
        AuthzDecision, AuthzRequest, Outcome, ProxyProtocol, Refusal, TRUSTED, Verdict, VerdictKind,
    },
    grpc::{front::Answering, status},
    metrics::Timed,
    request_id::{REQUEST_ID, request_id},
    trace::{record_decision, within},
};
use crate::{
    observability::metrics::{Code, MetricLabel},
    security::callers::CallerService,
};

/// Which responses a proxy understands, and which headers it sets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ForwardAuthCodes {
    /// Every status and body reaches the client: Traefik, Caddy. `X-Forwarded-Method`, `-Uri` and
    /// `-Host`.
    Full,
    /// 2xx, 401 and 403 only, and no body: nginx. `X-Original-Method`, `-URI` and `-Host`.
    Nginx,
}

/// The status that the answer would have, for nginx, which cannot pass it on.
const STATUS: HeaderName = HeaderName::from_static("x-entitlement-status");
/// The body that the answer would have.
const PROBLEM: HeaderName = HeaderName::from_static("x-entitlement-problem");

impl ForwardAuthCodes {
    /// The headers with method, target and host.
    fn headers(self) -> [HeaderName; 3] {
        let names = match self {
            Self::Full => ["x-forwarded-method", "x-forwarded-uri", "x-forwarded-host"],
            Self::Nginx => ["x-original-method", "x-original-uri", "x-original-host"],
        };
        names.map(HeaderName::from_static)
    }
}

/// Answers proxies that ask over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct ForwardAuth {
    api: Api,
    codes: ForwardAuthCodes,
    request_timeout: Duration,
}

impl ForwardAuth {
    /// Answers that take longer than `request_timeout` are given up.
    pub(crate) fn new(api: Api, codes: ForwardAuthCodes, request_timeout: Duration) -> Self {
        Self { api, codes, request_timeout }
    }

    /// Answers a request, whatever its own method, path and body.
    pub(crate) fn answer<B: Send + 'static>(
        &self,
        mut request: Request<B>,
        peer: &Peer,
    ) -> Answering {
        let this = self.clone();
        let id = request_id(request.headers());
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let with_id = move |mut response: Response<Body>| {
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        };
        let mut stopwatch = this.api.metrics.rpcs.time(Some(Timed::ForwardAuth), Instant::now());
        let caller =
            match this.api.callers.admit(CallerService::ForwardAuth, peer, request.headers()) {
                Ok(caller) => caller,
                Err(refused) => {
                    let response =
                        this.turn_away(&Refusal::not_admitted(this.api.counted(refused)));
                    stopwatch.stop(status::not_admitted(refused).code());
                    return Box::pin(async move { with_id(response) });
                }
            };
        let traced = this.api.tracer.http_span(request.headers(), "forward-auth");
        let trace = traced.as_ref().and_then(|traced| traced.trace);
        let span = traced.map(|traced| traced.span);
        let answering = async move {
            let _in_flight = this.api.metrics.forward_auth_in_flight.enter();
            let headers = request.headers();
            let caller = CallerIdentity::new(caller.as_deref(), Some(headers));
            let (code, response) = this.judge(headers, caller).await;
            stopwatch.stop_traced(code, trace);
            with_id(response)
        };
        within(span, Box::pin(answering))
    }

    /// The response, and the code that it counts with: where a request was judged, OK, whatever the
    /// judgement.
    async fn judge(
        &self,
        headers: &HeaderMap,
        caller: CallerIdentity<'_>,
    ) -> (Code, Response<Body>) {
        let authz_request = match self.authz_request(headers, caller) {
            Ok(authz_request) => authz_request,
            Err(refusal) => return (Code::InvalidArgument, self.turn_away(&refusal)),
        };
        let judging = self.api.decide_http(ProxyProtocol::ForwardAuth, authz_request);
        match tokio::time::timeout(self.request_timeout, judging).await {
            Ok(authz_decision) => (Code::Ok, self.respond(&authz_decision)),
            Err(_) => (Code::DeadlineExceeded, self.turn_away(&Refusal::too_late())),
        }
    }

    /// Refuses a request that was not judged, and counts it.
    fn turn_away(&self, refusal: &Refusal) -> Response<Body> {
        record_decision(VerdictKind::Refused.word(), refusal.reason(), None);
        let outcome = Outcome::Refused(refusal.kind);
        self.api.metrics.gateway_requests.add(ProxyProtocol::ForwardAuth, outcome);
        self.refuse(refusal)
    }

    fn authz_request<'a>(
        &self,
        headers: &'a HeaderMap,
        caller: CallerIdentity<'a>,
    ) -> Result<AuthzRequest<'a>, Refusal> {
        let [method, target, host] = self.codes.headers();
        let needed = |name: &HeaderName| {
            only(headers, name)?
                .ok_or_else(|| Refusal::unreadable(name.as_str(), "is not set by the proxy"))
        };
        let (method, target) = (needed(&method)?, needed(&target)?);
        // A proxy that names no host passes on the client's.
        let host =
            only(headers, &host)?.map_or_else(|| only(headers, &HOST), |host| Ok(Some(host)))?;
        let given = |name: &HeaderName| only(headers, name);
        let tenant_header = HeaderName::try_from(self.api.gateway.settings.tenant_header.as_str());
        Ok(AuthzRequest {
            caller,
            by_certificate: None,
            method,
            target,
            host,
            tenant_id: tenant_header.map_or(Ok(None), |name| given(&name))?,
            authorization: given(&AUTHORIZATION)?,
            // A proxy passes them on: they are those of its own request.
            request_id: None,
            traceparent: None,
            is_preflight: headers.contains_key(ORIGIN)
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        })
    }

    fn respond(&self, authz_decision: &AuthzDecision) -> Response<Body> {
        match &authz_decision.verdict {
            Verdict::Refused(refusal) => self.refuse(refusal),
            Verdict::Public | Verdict::Granted | Verdict::WouldDeny(_) => {
                with_headers(unknown_so_far(Body::empty()), authz_decision.headers_to_set())
            }
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Body> {
        let full = |body: Body| {
            let mut response = with_headers(unknown_so_far(body), refusal.headers());
            *response.status_mut() = refusal.status();
            response
        };
        match self.codes {
            ForwardAuthCodes::Full => full(Body::new(refusal.body())),
            ForwardAuthCodes::Nginx => {
                let mut response = full(Body::empty());
                response.headers_mut().insert(STATUS, HeaderValue::from(refusal.status().as_u16()));
                if let Ok(problem) = HeaderValue::try_from(in_ascii(&refusal.body())) {
                    response.headers_mut().insert(PROBLEM, problem);
                }
                if refusal.status() != StatusCode::UNAUTHORIZED {
                    *response.status_mut() = StatusCode::FORBIDDEN;
                }
                response
            }
        }
    }
}

/// A header's value, unless it is empty. Several values mean that a proxy adds to what a client has
/// sent.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let (value, more) = (values.next(), values.next());
    if more.is_some() {
        return Err(Refusal::unreadable(name.as_str(), "came more than once"));
    }
    let text = value.map(HeaderValue::to_str).transpose();
    let text = text.map_err(|_| Refusal::unreadable(name.as_str(), "is not readable as text"))?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// JSON with only the characters that a header may have.
fn in_ascii(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => ascii.push(char::from(byte)),
            _ => _ = write!(ascii, "\\u{unit:04x}"),
        }
    }
    ascii
}

/// An answer with all headers that the upstream trusts, each of them empty: a proxy that copies an
/// answer's headers then overwrites those that a client has sent. It does so even if it lets
/// refused requests pass.
fn unknown_so_far(body: Body) -> Response<Body> {
    with_headers(Response::new(body), TRUSTED.map(|name| (name, "")))
}

fn with_headers(
    mut response: Response<Body>,
    headers: impl IntoIterator<Item = (&'static str, impl AsRef<str>)>,
) -> Response<Body> {
    for (name, value) in headers {
        // The code that makes a value has made sure that it is valid in a header.
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
