//! The API over tonic: unwrap, ask, wrap.
//!
//! To add an RPC: describe it in `proto/`, add its line to the trait below, write it in the file of its family, and its
//! conversions in `convert.rs`. `convert.rs` alone names both proto and domain types, `status.rs` alone makes statuses.

pub mod admin;
mod advice;
mod asker;
mod check;
mod convert;
mod counted;
mod explain;
mod ext_authz;
pub mod forward_auth;
pub mod front;
pub mod gateway;
mod limited;
mod noted;
mod peer;
mod resolve;
mod status;
mod tenants;
mod trace;
mod unknown;
mod watch;

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status, async_trait};

pub use self::{
    advice::Ages,
    asker::CallerGate,
    convert::{fuzz_requests, reason_word},
    counted::metrics,
    limited::Limited,
    peer::{Peer, Presence, UnderWay},
    trace::Tracer,
    watch::{Ending, Stage, WatcherPlaces},
};
use self::{front::ending_of, gateway::Gateway, watch::Watcher};
use crate::{
    cache::Cache,
    clock::Clock,
    decision_log::DecisionLog,
    domain::BaseDomains,
    metrics::Metrics,
    proto::v1::{
        AuthorizeRequest, AuthorizeResponse, BatchCheckModulesRequest, BatchCheckModulesResponse, CheckModuleRequest,
        CheckModuleResponse, ExplainModuleRequest, ExplainModuleResponse, ListEnabledModulesRequest,
        ListEnabledModulesResponse, ListTenantIdsRequest, ListTenantIdsResponse, ResolveTenantRequest,
        ResolveTenantResponse, WatchChangesRequest, WatchChangesResponse,
        entitlement_service_server::EntitlementService,
    },
    store::Store,
    token::Tokens,
};

/// Everything that an answer is made from.
#[derive(Clone, Debug)]
pub struct Api {
    /// Facts and catalogue.
    pub cache: Cache<Store>,
    /// The database itself, for ExplainModule and ListTenantIds.
    pub store: Arc<Store>,
    /// Who vouches for bearer tokens.
    pub tokens: Arc<Tokens>,
    /// Which hosts name tenants.
    pub hosts: Arc<BaseDomains>,
    /// How long callers may keep answers.
    pub ages: Ages,
    /// Who may ask.
    pub callers: CallerGate,
    /// The places of those who watch changes.
    pub watchers: WatcherPlaces,
    /// The time.
    pub clock: Clock,
    /// What HTTP requests need that proxies ask about.
    pub gateway: Arc<Gateway>,
    /// Where decisions are logged, if they are.
    pub decision_log: Option<DecisionLog>,
    /// Which requests are traced.
    pub tracer: Tracer,
    /// What requests count.
    pub metrics: Arc<Metrics>,
}

#[async_trait]
impl EntitlementService for Api {
    async fn resolve_tenant(&self, request: Request<ResolveTenantRequest>) -> Answer<ResolveTenantResponse> {
        answer(convert::resolve_response(
            self.resolve(convert::resolve_query(&request)?).await.map_err(status::unidentified)?,
        ))
    }

    async fn check_module(&self, request: Request<CheckModuleRequest>) -> Answer<CheckModuleResponse> {
        answer(convert::check_response(self.check(convert::check_query(&request)?).await?))
    }

    async fn batch_check_modules(
        &self,
        request: Request<BatchCheckModulesRequest>,
    ) -> Answer<BatchCheckModulesResponse> {
        answer(convert::batch_response(self.batch_check(convert::batch_query(&request)?).await?))
    }

    async fn list_enabled_modules(
        &self,
        request: Request<ListEnabledModulesRequest>,
    ) -> Answer<ListEnabledModulesResponse> {
        answer(convert::list_response(&self.list_enabled(convert::list_query(&request)?).await?))
    }

    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Answer<AuthorizeResponse> {
        answer(convert::authorize_response(self.authorize(convert::authorize_query(&request)?).await?))
    }

    async fn explain_module(&self, request: Request<ExplainModuleRequest>) -> Answer<ExplainModuleResponse> {
        answer(convert::explain_response(self.explain(convert::explain_query(&request)?).await?))
    }

    async fn list_tenant_ids(&self, request: Request<ListTenantIdsRequest>) -> Answer<ListTenantIdsResponse> {
        answer(convert::tenants_response(&self.list_tenants(convert::tenants_query(&request)?).await?))
    }

    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(&self, request: Request<WatchChangesRequest>) -> Answer<Self::WatchChangesStream> {
        let ending = ending_of(request.extensions());
        answer(Box::pin(stream_of(self.watch(convert::watch_query(&request)?, ending)?)))
    }
}

/// What a watcher is told, message by message. An error is the last.
fn stream_of(watcher: Watcher) -> impl Stream<Item = Result<WatchChangesResponse, Status>> + Send {
    stream::unfold(Some(watcher), async |watcher| {
        let mut watcher = watcher?;
        let told = watcher.next().await?;
        let goes_on = told.is_ok().then_some(watcher);
        Some((told.map(convert::watch_response), goes_on))
    })
}

type Answer<T> = Result<Response<T>, Status>;

#[expect(clippy::unnecessary_wraps, reason = "this is what tonic takes")]
fn answer<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}
