//! The server, over gRPC: each question has a deadline, and is sent again after UNAVAILABLE.

mod leases;
mod over_time;
mod questions;
mod usage;

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tracing::{Instrument, Span, debug_span};

use crate::{
    config::{Config, ConfigError, Traceparent},
    endpoints::{Endpoints, authorization},
    pool::Pools,
    proto::v1::entitlement_service_client::EntitlementServiceClient,
};

const SERVICE_NAME: &str = "entitlement.v1.EntitlementService";
/// The initial pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// How questions are sent.
#[derive(Clone, Debug)]
pub(crate) struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Endpoints,
    authorization: Option<MetadataValue<Ascii>>,
    deadline: Duration,
    tries: u32,
    traceparent: Option<Traceparent>,
    pools: Pools,
}

/// The span around a question, named by the OpenTelemetry conventions for RPC clients.
fn span(service: &'static str, method: &'static str) -> Span {
    debug_span!("entitlementd", rpc.system = "grpc", rpc.service = service, rpc.method = method)
}

impl Remote {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Inner {
            endpoints: Endpoints::new(config)?,
            authorization: authorization(config)?,
            deadline: config.deadline,
            tries: config.tries,
            traceparent: config.traceparent.clone(),
            pools: Pools::default(),
        })))
    }

    fn request<M>(&self, message: M, deadline: Option<Duration>) -> Request<M> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.0.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        let traceparent = self.0.traceparent.as_ref().and_then(|Traceparent(current)| current());
        if let Some(traceparent) = traceparent.and_then(|traceparent| traceparent.parse().ok()) {
            request.metadata_mut().insert("traceparent", traceparent);
        }
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        request
    }

    /// Sends a question, and sends it again if necessary, all within the deadline.
    async fn call<M, R, F>(
        self,
        method: &'static str,
        message: M,
        ask: impl Fn(EntitlementServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let ask = |channel, request| ask(EntitlementServiceClient::new(channel), request);
        self.call_of(SERVICE_NAME, method, message, ask).await
    }

    /// The same of another service.
    async fn call_of<M, R, F>(
        self,
        service: &'static str,
        method: &'static str,
        message: M,
        ask: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let span = span(service, method);
        let Inner { endpoints, deadline, tries, .. } = &*self.0;
        let request = || self.request(message.clone(), Some(*deadline));
        let ask = async |channel| {
            let ask = |channel| ask(channel, request());
            asked_over(channel, ask).await
        };
        let tried = async {
            let mut pause = PAUSE;
            for _ in 1..*tries {
                let (place, channel) = endpoints.current();
                match ask(channel).await {
                    Err(status) if status.code() == Code::Unavailable => {
                        endpoints.move_on_from(place);
                    }
                    done => return done,
                }
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                pause *= 2;
            }
            let (place, channel) = endpoints.current();
            ask(channel).await.inspect_err(|_| endpoints.move_on_from(place))
        };
        match timeout(*deadline, tried.instrument(span)).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => {
                endpoints.move_on_from(endpoints.current().0);
                Err(Status::deadline_exceeded(format!(
                    "entitlementd did not answer within {deadline:?}"
                )))
            }
        }
    }
}

/// Sends a question over a connection, and once more if that was closed meanwhile: only using a
/// connection shows that a server takes no more requests on it, and the next request uses another.
async fn asked_over<R, F>(
    channel: Channel,
    ask: impl Fn(Channel) -> F,
) -> Result<Response<R>, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    match ask(channel.clone()).await {
        Err(status) if is_of_transport(&status) => ask(channel).await.map_err(|status| {
            // The transport reports a broken connection with various codes, INTERNAL among them:
            // none of them is the server's.
            if is_of_transport(&status) { Status::unavailable(status.message()) } else { status }
        }),
        done => done,
    }
}

/// Does the status come from the transport? UNAVAILABLE means that there was no connection at all,
/// which retries cover.
fn is_of_transport(status: &Status) -> bool {
    status.code() != Code::Unavailable
        && status.source().is_some_and(<dyn Error>::is::<tonic::transport::Error>)
}
