//! `/metrics`, `/livez` and `/readyz`, over HTTP/1.1 at an address of their own, and the public keys of
//! signed leases.
//!
//! Clients here are few and simple, but anybody may connect: one request per connection, a small
//! head, little time, and a newer connection ends the oldest one. So clients that open many
//! connections and send nothing do not keep probes out.

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use super::server_metrics::ServerMetrics;
use crate::{
    config::{Insecure, ListenAddress, UnusableSetting},
    observability::metrics::{Format, Page},
    security::{lease_keys::LeaseIssuer, tls::Tls},
    server::{
        background::{condition::Condition, readiness::Readiness},
        net::{
            listener::AFTER_FAILED_ACCEPT,
            tally::{ConnectionTally, ListenerKind},
            tls::TlsOffer,
        },
        security::Security,
    },
};

/// Maximum number of connections.
const MAX_CONNECTIONS: usize = 64;
/// Maximum size of a request's head, in bytes. It is the smallest value that hyper accepts.
const MAX_HEAD: usize = 8 * 1024;
/// Maximum number of headers.
const MAX_HEADERS: usize = 64;
/// How long a client may take to send the head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may last, including its answer.
const MAX_AGE: Duration = Duration::from_secs(10);

/// Where key sets are published.
const JWKS: &str = "/.well-known/jwks.json";
/// How long whoever fetches keys may keep them: a key is published for longer before it signs.
const JWKS_MAX_AGE: &str = "public, max-age=300";
/// RFC 7517, section 8.5.2.
const JWKS_TYPE: &str = "application/jwk-set+json";

/// Answers probes and serves the metrics.
pub(crate) struct Probes {
    listener: TcpListener,
    address: SocketAddr,
    pages: Arc<Pages>,
    tls: Option<TlsOffer>,
    connections: ConnectionTally,
}

/// What the pages show.
struct Pages {
    metrics: Page,
    readiness: Arc<Readiness>,
    /// `None`: no leases are signed.
    leases: Option<Arc<LeaseIssuer>>,
    /// The metrics require a client certificate. Probes do not: a kubelet has none.
    are_closed: bool,
}

impl Probes {
    /// Binds the address, if there is one.
    pub(crate) async fn bind(
        wanted: Option<SocketAddr>,
        metrics: ServerMetrics,
        security: &Security<'_>,
    ) -> Result<Option<Self>, UnusableSetting> {
        let Some(wanted) = wanted else { return Ok(None) };
        let tls =
            security.of(Insecure::Metrics, "--metrics-listen", &ListenAddress::Tcp(wanted))?;
        let listener = TcpListener::bind(wanted).await;
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|error| {
            UnusableSetting::new(
                "--metrics-listen",
                format!("is {wanted}, which cannot be used: {error}"),
            )
        })?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        tracing::info!(%address, "metrics and probes are at {scheme}://{address}");
        let are_closed = tls.is_some() && security.insists_on_certificates();
        let readiness = Arc::clone(&metrics.readiness);
        let connections = metrics.connections.clone();
        let leases = metrics.api.lease_issuer.clone();
        let metrics = Page::new(Arc::clone(&metrics.api.metrics), metrics);
        Ok(Some(Self {
            listener,
            address,
            pages: Arc::new(Pages { metrics, readiness, leases, are_closed }),
            tls,
            connections,
        }))
    }

    /// The address that it listens on, with the actual port.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers forever. When it is dropped, it ends together with every connection.
    pub(crate) async fn run(self) {
        let mut connections = JoinSet::new();
        // Connections that have ended stay in the queue: ending them again does nothing.
        let mut latest: VecDeque<AbortHandle> = VecDeque::with_capacity(MAX_CONNECTIONS + 1);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => latest.push_back(connections.spawn(self.serve(stream))),
                    Err(error) => {
                        self.connections.fail(&error);
                        tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
            if latest.len() > MAX_CONNECTIONS
                && let Some(oldest) = latest.pop_front()
                && !oldest.is_finished()
            {
                oldest.abort();
                self.connections.displace(ListenerKind::Metrics);
            }
        }
    }

    fn serve(&self, stream: TcpStream) -> impl Future<Output = ()> + use<> {
        let open = self.connections.open(ListenerKind::Metrics);
        let serving = serve(stream, Arc::clone(&self.pages), self.tls.clone());
        async move {
            let _open = open;
            serving.await;
        }
    }
}

async fn serve(stream: TcpStream, pages: Arc<Pages>, tls: Option<TlsOffer>) {
    let serving = async {
        let Some(tls) = tls else { return serve_stream(stream, pages, false).await };
        match tls.accept(stream, |tls: &Tls| Arc::clone(&tls.probes)).await {
            Ok((stream, chain)) => serve_stream(stream, pages, !chain.is_empty()).await,
            Err(error) => {
                tracing::debug!(%error, "a TLS handshake failed: {error}");
            }
        }
    };
    if tokio::time::timeout(MAX_AGE, serving).await.is_err() {
        tracing::debug!("a probe's connection took longer than {MAX_AGE:?}");
    }
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    pages: Arc<Pages>,
    has_certificate: bool,
) {
    let answer = service_fn(move |request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(pages.answer(&request, has_certificate)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a probe's connection ended badly: {error}");
    }
}

impl Pages {
    fn answer(&self, request: &Request<Incoming>, has_certificate: bool) -> Response<String> {
        let path = request.uri().path();
        if !["/metrics", "/livez", "/readyz", JWKS].contains(&path) {
            return text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz");
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD are answered");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/metrics" if self.are_closed && !has_certificate => {
                text(StatusCode::FORBIDDEN, "the metrics are for clients with a certificate")
            }
            "/metrics" => self.metrics(request),
            "/readyz" => self.readiness(),
            // They are public: no certificate is needed.
            JWKS => self.lease_keys(),
            // The answer itself shows that the process can answer.
            _ => text(StatusCode::OK, "ok"),
        }
    }

    fn metrics(&self, request: &Request<Incoming>) -> Response<String> {
        let accept = request
            .headers()
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .unwrap_or_default();
        let format = Format::accepted(accept);
        match self.metrics.write(format) {
            Ok(page) => with_type(StatusCode::OK, format.content_type(), page),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written: {error}");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written")
            }
        }
    }

    fn lease_keys(&self) -> Response<String> {
        let Some(leases) = &self.leases else {
            return text(StatusCode::NOT_FOUND, "no leases are signed here");
        };
        let set = leases.keys().published().to_owned();
        let mut response = with_type(StatusCode::OK, JWKS_TYPE, set);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(JWKS_MAX_AGE));
        response
    }

    fn readiness(&self) -> Response<String> {
        let condition = self.readiness.condition();
        let is_unready = matches!(condition, Condition::Unready(_));
        let status = if is_unready { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let cause = condition.trouble().map(|trouble| format!("\ncause: {}", trouble.cause.word()));
        let holding = self.readiness.holding().map(|sentence| format!("\nhold: {sentence}"));
        text(
            status,
            &[Some(condition.to_string()), cause, holding].map(Option::unwrap_or_default).concat(),
        )
    }
}

fn text(status: StatusCode, words: &str) -> Response<String> {
    with_type(status, "text/plain; charset=utf-8", words.to_owned())
}

fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
