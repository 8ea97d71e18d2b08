//! The server, over gRPC: each question has a deadline, and is sent again after UNAVAILABLE.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use tracing::{Instrument, debug_span};
use uuid::Uuid;

use crate::{
    Resolved,
    ask::{Ask, Events, Judged, OwnedCredentials},
    config::{Config, ConfigError, Traceparent},
    convert,
    endpoints::{Endpoints, authorization},
    list::{List, Modules, Told},
    proto::v1::{
        AuthorizeRequest, CheckModuleRequest, ListEnabledModulesRequest, ResolveTenantRequest,
        WatchChangesRequest, entitlement_service_client::EntitlementServiceClient,
    },
};

const SERVICE_NAME: &str = "entitlement.v1.EntitlementService";
/// How often heartbeats are asked for: silence is told at once, and of a server that is gone nobody
/// tells.
const HEARTBEAT_INTERVAL: prost_types::Duration = prost_types::Duration { seconds: 1, nanos: 0 };
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
    modules: Modules,
}

impl Remote {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        Ok(Self(Arc::new(Inner {
            endpoints: Endpoints::new(config)?,
            authorization: authorization(config)?,
            deadline: config.deadline,
            tries: config.tries,
            traceparent: config.traceparent.clone(),
            modules: Modules::default(),
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

    /// Sends a question, and sends it again if necessary, all within the deadline. The span around
    /// it is named by the OpenTelemetry conventions for RPC clients.
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
        let span = debug_span!(
            "entitlementd",
            rpc.system = "grpc",
            rpc.service = SERVICE_NAME,
            rpc.method = method
        );
        let Inner { endpoints, deadline, tries, .. } = &*self.0;
        let request = || self.request(message.clone(), Some(*deadline));
        let ask = async |channel| asked_over(channel, |client| ask(client, request())).await;
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
    ask: impl Fn(EntitlementServiceClient<Channel>) -> F,
) -> Result<Response<R>, Status>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    let client = EntitlementServiceClient::new(channel);
    match ask(client.clone()).await {
        Err(status) if is_of_transport(&status) => ask(client).await.map_err(|status| {
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

impl Ask for Remote {
    fn list(&self, tenant: Uuid, min_revision: u64) -> BoxFuture<'static, Result<List, Status>> {
        let request = ListEnabledModulesRequest {
            tenant_id: tenant.to_string(),
            min_revision: Some(min_revision),
            at: None,
            include_upcoming: true,
            include_features: false,
        };
        let this = self.clone();
        async move {
            let asked = this.clone().call(
                "ListEnabledModules",
                request,
                |mut client, request| async move { client.list_enabled_modules(request).await },
            );
            match asked.await {
                Ok(response) => Ok(convert::listed(response, &this.0.modules)),
                Err(status) if status.code() == Code::NotFound => Ok(convert::absent()),
                Err(status) => Err(status),
            }
        }
        .boxed()
    }

    fn check(
        &self,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<Judged, Status>> {
        let request = CheckModuleRequest {
            tenant_id: tenant.to_string(),
            module_code: module.to_owned(),
            min_revision: Some(min_revision),
            at: None,
        };
        let asked = self.clone().call("CheckModule", request, |mut client, request| async move {
            client.check_module(request).await
        });
        async { asked.await.map(convert::checked) }.boxed()
    }

    fn resolve(
        &self,
        credentials: OwnedCredentials,
    ) -> BoxFuture<'static, Result<(Resolved, Told), Status>> {
        let OwnedCredentials { tenant_id, host, bearer_token } = credentials;
        let request = ResolveTenantRequest { tenant_id, host, bearer_token };
        let asked = self.clone().call("ResolveTenant", request, |mut client, request| async move {
            client.resolve_tenant(request).await
        });
        async { convert::resolved(asked.await?) }.boxed()
    }

    fn authorize(
        &self,
        credentials: OwnedCredentials,
        modules: Vec<String>,
    ) -> BoxFuture<'static, Result<(Resolved, Told, Judged), Status>> {
        let OwnedCredentials { tenant_id, host, bearer_token } = credentials;
        let request =
            AuthorizeRequest { tenant_id, host, bearer_token, any_of_module_codes: modules };
        let asked = self.clone().call("Authorize", request, |mut client, request| async move {
            client.authorize(request).await
        });
        async { convert::authorized(asked.await?) }.boxed()
    }

    fn endpoint(&self) -> String {
        self.0.endpoints.addresses.clone()
    }

    fn watch(&self) -> BoxFuture<'static, Result<Events, Status>> {
        let this = self.clone();
        async move {
            let (place, channel) = this.0.endpoints.current();
            let open = |mut client: EntitlementServiceClient<Channel>| {
                let request = this.request(
                    WatchChangesRequest {
                        tenant_ids: Vec::new(),
                        announce_end: true,
                        heartbeat_interval: Some(HEARTBEAT_INTERVAL),
                    },
                    None,
                );
                async move { client.watch_changes(request).await }
            };
            let opened = timeout(this.0.deadline, asked_over(channel, open)).await;
            let stream = opened.unwrap_or_else(|_| {
                Err(Status::deadline_exceeded("the stream did not open in time"))
            });
            match stream {
                Ok(stream) => {
                    Ok(stream.into_inner().map(|event| event.map(convert::event)).boxed())
                }
                Err(status) => {
                    this.0.endpoints.move_on_from(place);
                    Err(status)
                }
            }
        }
        .boxed()
    }
}
