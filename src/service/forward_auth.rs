//! Forward auth over HTTP: how nginx, Traefik, Caddy, HAProxy and others ask, each by its own conventions.
//!
//! A proxy passes the client's headers on, and describes the request in headers of its own.

mod dialect;
mod question;
mod response;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{
    HeaderMap, HeaderName, Request, Response,
    header::{ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_TYPE, ORIGIN},
    request::Parts,
    uri::PathAndQuery,
};
use tonic::body::Body;

pub(crate) use self::dialect::{Dialect, ProxyHeader};
use self::question::{Question, Told, Unreadable};
use super::{
    Api, Peer,
    caller::{CallerIdentity, NotAdmitted},
    gateway::{AuthzDecision, AuthzRequest, ProxyProtocol, Refusal, speaks_grpc},
    grpc::{front::Answering, status},
    metrics::Timed,
    request_id::{REQUEST_ID, request_id},
    trace::within,
};
use crate::{
    observability::metrics::{Code, MetricLabel},
    security::callers::CallerService,
};

/// How proxies are answered over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct ForwardAuthSettings {
    /// Of questions whose path names none.
    pub(crate) dialect: Dialect,
    /// The header in which the proxies of each dialect pass on what a client says of its tenant, in the
    /// order of the dialects.
    pub(crate) tenant_headers: Vec<HeaderName>,
    /// Answers that take longer are given up.
    pub(crate) request_timeout: Duration,
}

/// Answers proxies that ask over HTTP. Clones share everything: one is made for each question.
#[derive(Clone, Debug)]
pub(crate) struct ForwardAuth(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    api: Api,
    settings: ForwardAuthSettings,
    told: Told,
}

impl ForwardAuth {
    /// Answers as these settings say.
    pub(crate) fn new(api: Api, settings: ForwardAuthSettings) -> Self {
        Self(Arc::new(Shared { api, settings, told: Told::default() }))
    }

    /// Answers a question, whatever its body.
    pub(crate) fn answer<B: Send + 'static>(
        &self,
        mut request: Request<B>,
        peer: &Peer,
    ) -> Answering {
        let this = Arc::clone(&self.0);
        let id = request_id(request.headers());
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let mut stopwatch = this.api.metrics.rpcs.time(Some(Timed::ForwardAuth), Instant::now());
        let admitted = this.api.callers.admit(CallerService::ForwardAuth, peer, request.headers());
        let admitted = admitted.map_err(|refused| this.api.counted(refused));
        let traced = this.api.tracer.http_span(request.headers(), "forward-auth");
        let trace = traced.as_ref().and_then(|traced| traced.trace);
        let span = traced.map(|traced| traced.span);
        let (parts, _) = request.into_parts();
        let answering = async move {
            let _in_flight = this.api.metrics.forward_auth_in_flight.enter();
            let caller = admitted.as_ref().ok().and_then(|caller| caller.as_deref());
            let caller = CallerIdentity::new(caller, Some(&parts.headers));
            let refused = admitted.as_ref().err().copied();
            let (code, mut response) = this.judge(&parts, caller, refused).await;
            stopwatch.stop_traced(code, trace);
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        };
        within(span, Box::pin(answering))
    }
}

impl Shared {
    /// The response, and the code that it counts with: where a request was judged, OK, whatever the
    /// judgement.
    async fn judge(
        &self,
        parts: &Parts,
        caller: CallerIdentity<'_>,
        refused: Option<NotAdmitted>,
    ) -> (Code, Response<Body>) {
        let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let named = Dialect::of_path(path, self.settings.dialect);
        let (dialect, rest) = named.unwrap_or((self.settings.dialect, path));
        let question = match (refused, named) {
            // What somebody unknown sends says nothing of a proxy.
            (Some(_), _) => Ok(Question::default()),
            (None, None) => Err(Unreadable::NO_DIALECT),
            (None, Some(_)) => Question::read(dialect, rest, parts),
        };
        let unreadable = question.as_ref().err().copied();
        if let Some(unreadable) = unreadable.filter(|unreadable| unreadable.is_misconfigured) {
            self.api.metrics.forward_auth_misconfigured.add(unreadable.header);
            unreadable.warn(dialect, &self.told);
        }
        let obstacle = refused.map(Refusal::not_admitted).or(unreadable.map(Unreadable::refusal));
        let question = question.unwrap_or_default();
        let deciding = self.decide(&question, &parts.headers, dialect, caller, obstacle.as_ref());
        let authz_decision = deciding.await;
        let code = match (refused, unreadable) {
            (Some(refused), _) => status::not_admitted(refused).code(),
            (None, Some(_)) => Code::InvalidArgument,
            (None, None) if authz_decision.is_too_late() => Code::DeadlineExceeded,
            (None, None) => Code::Ok,
        };
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let speaks_grpc = content_type.is_some_and(speaks_grpc);
        (code, response::response(&authz_decision, dialect.understands(), speaks_grpc))
    }

    async fn decide(
        &self,
        question: &Question<'_>,
        headers: &HeaderMap,
        dialect: Dialect,
        caller: CallerIdentity<'_>,
        obstacle: Option<&Refusal>,
    ) -> AuthzDecision {
        let tenant_header = &self.settings.tenant_headers[dialect.number()];
        let (tenant_id, authorization) =
            (listed(headers, tenant_header), listed(headers, &AUTHORIZATION));
        let authz_request = AuthzRequest {
            caller,
            by_certificate: None,
            method: question.method,
            target: &question.target,
            host: question.host,
            tenant_header: tenant_header.as_str(),
            tenant_id: tenant_id.as_deref(),
            authorization: authorization.as_deref(),
            // A proxy passes them on: they are those of its own request.
            request_id: None,
            traceparent: None,
            is_preflight: headers.contains_key(ORIGIN)
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
            obstacle,
        };
        let limit = Some(self.settings.request_timeout);
        self.api.decide_http(ProxyProtocol::ForwardAuth, authz_request, limit).await
    }
}

/// A header's values as one list, unless they are empty.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut values =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut list = values.next()?;
    for value in values {
        list.to_mut().push(',');
        list.to_mut().push_str(&value);
    }
    Some(list).filter(|list| !list.is_empty())
}
