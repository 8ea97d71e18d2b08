//! What the server is asked.

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
};
use prost_types::Timestamp;
use tokio::time::timeout;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::{Remote, asked_over};
use crate::{
    IssuedLease, LeaseRequest, LimitDecision, Reconciled, Reservation, Reserve, Resolved,
    ask::{Ask, Events, Judged, JudgedFeature, Listed, OwnedCredentials},
    convert,
    limit::Wanted,
    list::Told,
    proto::v1::{
        AuthorizeRequest, CheckFeatureRequest, CheckLimitRequest, CheckModuleRequest,
        ListEnabledModulesRequest, ResolveTenantRequest, WatchChangesRequest,
        entitlement_service_client::EntitlementServiceClient,
    },
    usage::{Acquire, Granted, Message, Range, Settle, UsageHistory, UsageOutcome, UsageQuery},
};

/// How often heartbeats are asked for: silence is told at once, and of a server that is gone nobody
/// tells.
const HEARTBEAT_INTERVAL: prost_types::Duration = prost_types::Duration { seconds: 1, nanos: 0 };
/// What is said where a server does not know a method that came with features.
fn newer(status: Status) -> Status {
    match status.code() {
        Code::Unimplemented => {
            Status::unimplemented("the server is older than features and limits: upgrade it")
        }
        _ => status,
    }
}

impl Ask for Remote {
    fn list(&self, tenant: Uuid, min_revision: u64) -> BoxFuture<'static, Result<Listed, Status>> {
        let request = ListEnabledModulesRequest {
            tenant_id: tenant.to_string(),
            min_revision: Some(min_revision),
            at: None,
            include_upcoming: true,
            include_features: true,
        };
        let this = self.clone();
        async move {
            let asked = this.clone().call(
                "ListEnabledModules",
                request,
                |mut client, request| async move { client.list_enabled_modules(request).await },
            );
            match asked.await {
                Ok(response) => Ok(convert::listed(response, &this.0.pools)),
                Err(status) if status.code() == Code::NotFound => Ok(convert::absent().into()),
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

    fn feature(
        &self,
        tenant: Uuid,
        (module, key): (&str, &str),
        min_revision: u64,
    ) -> BoxFuture<'static, Result<JudgedFeature, Status>> {
        let request = CheckFeatureRequest {
            tenant_id: tenant.to_string(),
            module_code: module.to_owned(),
            feature_key: key.to_owned(),
            min_revision: Some(min_revision),
            at: None,
        };
        let asked = self.clone().call("CheckFeature", request, |mut client, request| async move {
            client.check_feature(request).await
        });
        async { convert::checked_feature(asked.await.map_err(newer)?) }.boxed()
    }

    fn limit(
        &self,
        tenant: Uuid,
        key: &str,
        Wanted { observed, amount }: Wanted,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<LimitDecision, Status>> {
        let request = CheckLimitRequest {
            tenant_id: tenant.to_string(),
            limit_key: key.to_owned(),
            amount,
            observed: Some(observed),
            min_revision: Some(min_revision),
            at: None,
        };
        let asked = self.clone().call("CheckLimit", request, |mut client, request| async move {
            client.check_limit(request).await
        });
        async { asked.await.map(convert::checked_limit).map_err(newer) }.boxed()
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
        let request = AuthorizeRequest {
            tenant_id,
            host,
            bearer_token,
            any_of_module_codes: modules,
            ..AuthorizeRequest::default()
        };
        let asked = self.clone().call("Authorize", request, |mut client, request| async move {
            client.authorize(request).await
        });
        async { convert::authorized(asked.await?) }.boxed()
    }

    fn reserve(
        &self,
        tenant: Uuid,
        wanted: Reserve,
    ) -> BoxFuture<'static, Result<Reservation, Status>> {
        self.clone().reserved(tenant, wanted).boxed()
    }

    fn release(
        &self,
        tenant: Uuid,
        meter: &str,
        key: &str,
        only_held: bool,
    ) -> BoxFuture<'static, Result<i64, Status>> {
        self.clone().released(tenant, meter.to_owned(), key.to_owned(), only_held).boxed()
    }

    fn reconcile(
        &self,
        tenant: Uuid,
        meter: &str,
        range: Range,
        as_of: Timestamp,
    ) -> BoxFuture<'static, Result<Reconciled, Status>> {
        self.clone().reconciled(tenant, meter.to_owned(), range, as_of).boxed()
    }

    fn record(&self, message: Message) -> BoxFuture<'static, Result<Vec<UsageOutcome>, Status>> {
        self.clone().recorded(message).boxed()
    }

    fn query_usage(
        &self,
        tenant: Uuid,
        query: UsageQuery,
    ) -> BoxFuture<'static, Result<UsageHistory, Status>> {
        self.clone().queried(tenant, query).boxed()
    }

    fn issue_lease(
        &self,
        tenant: Uuid,
        wanted: LeaseRequest,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<IssuedLease, Status>> {
        self.clone().issued(tenant, wanted, min_revision).boxed()
    }

    fn acquire(&self, asked: Acquire) -> BoxFuture<'static, Result<Granted, Status>> {
        self.clone().acquired(asked).boxed()
    }

    fn settle(&self, settled: Settle) -> BoxFuture<'static, Result<(), Status>> {
        self.clone().settled(settled).boxed()
    }

    fn endpoint(&self) -> String {
        self.0.endpoints.addresses.clone()
    }

    fn watch(&self) -> BoxFuture<'static, Result<Events, Status>> {
        let this = self.clone();
        async move {
            let (place, channel) = this.0.endpoints.current();
            let open = |channel: Channel| {
                let mut client = EntitlementServiceClient::new(channel);
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
