//! The real server, in this process, with a clock that is moved by hand.

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use entitlementd::{
    clock::{Clock, ManualClock},
    config::{Cli, Command, EdgeArgs, ListenAddress, ServeArgs},
    proto::v1::{
        CheckFeatureRequest, CheckModuleRequest, CheckModuleResponse, DecisionReason,
        ListEnabledModulesRequest, ListEnabledModulesResponse, ResolveTenantRequest,
        ResolveTenantResponse, entitlement_service_client::EntitlementServiceClient,
    },
    server,
    server::Running,
};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt;

use super::{Database, id, until_so};

/// What the server's clock shows at first: 2026-11-23T12:00:00Z.
pub const NOW: DateTime<Utc> = DateTime::from_timestamp(1_795_435_200, 0).unwrap();

/// A server, a client of it, its clock and its database.
pub struct Server {
    pub client: EntitlementServiceClient<Channel>,
    pub clock: ManualClock,
    pub database: Database,
    pub running: Running,
}

impl Server {
    /// A server that is ready, with base domain `erp.example`. It hears of no change: what it holds
    /// changes with the clock alone.
    pub async fn start(database: Database) -> Self {
        Self::start_with(database, &["--changes", "off"]).await
    }

    /// A server that hears of changes as soon as the database lets it.
    pub async fn start_fed(database: Database) -> Self {
        Self::start_with(database, &["--poll-interval", "20ms"]).await
    }

    /// The same with more flags.
    pub async fn start_with(database: Database, flags: &[&str]) -> Self {
        let server = Self::start_unready(database, flags).await;
        server.wait_until_ready().await;
        server
    }

    /// The same at another time.
    pub async fn start_at(now: DateTime<Utc>, database: Database, flags: &[&str]) -> Self {
        let server = Self::start_unready_at(now, database, flags).await;
        server.wait_until_ready().await;
        server
    }

    /// The same, without waiting for the database.
    pub async fn start_unready(database: Database, flags: &[&str]) -> Self {
        Self::start_unready_at(NOW, database, flags).await
    }

    /// The same at another time.
    pub async fn start_unready_at(now: DateTime<Utc>, database: Database, flags: &[&str]) -> Self {
        Self::start_unready_by(ManualClock::at(now), database, flags).await
    }

    /// The same by a clock that others have too.
    pub async fn start_unready_by(clock: ManualClock, database: Database, flags: &[&str]) -> Self {
        let args = serve_args(&database.url, flags);
        let running = server::start(args, Clock::Manual(clock.clone())).await.unwrap();
        let client = EntitlementServiceClient::new(connect(&running.address).await);
        Self { client, clock, database, running }
    }

    /// An instance without a database that asks this one, directly.
    pub async fn edge(&self, flags: &[&str]) -> Self {
        let edge = self.unready_edge(&[self.port()], flags).await;
        edge.wait_until_ready().await;
        edge
    }

    /// The same by way of these ports of this machine, which may lead nowhere as yet.
    pub async fn unready_edge(&self, upstreams: &[u16], flags: &[&str]) -> Self {
        let database = self.database.again().await;
        Self::start_edge(database, self.clock.clone(), upstreams, flags).await
    }

    /// The same beside a database that its upstream has.
    pub async fn start_edge(
        database: Database,
        clock: ManualClock,
        upstreams: &[u16],
        flags: &[&str],
    ) -> Self {
        let running = server::start_edge(edge_args(upstreams, flags), Clock::Manual(clock.clone()));
        let running = running.await.unwrap();
        let client = EntitlementServiceClient::new(connect(&running.address).await);
        Self { client, clock, database, running }
    }

    /// Why an edge does not start.
    pub async fn try_edge(&self, upstreams: &[u16], flags: &[&str]) -> String {
        let clock = Clock::Manual(self.clock.clone());
        server::start_edge(edge_args(upstreams, flags), clock).await.unwrap_err().to_string()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        match &self.running.address {
            ListenAddress::Tcp(address) => address.port(),
            ListenAddress::Unix(socket) => panic!("not TCP: {socket:?}"),
        }
    }

    /// Watches health until it says SERVING: again where the stream ends before, as it does with a
    /// connection that has reached its age.
    pub async fn wait_until_ready(&self) {
        until_so("health says SERVING", async || {
            let mut health = HealthClient::new(connect(&self.running.address).await);
            let watch = health.watch(HealthCheckRequest::default()).await;
            let mut watch = watch.unwrap().into_inner();
            while let Some(answer) = watch.message().await.unwrap() {
                if answer.status() == ServingStatus::Serving {
                    return true;
                }
            }
            false
        })
        .await;
    }

    pub async fn health(&self, service: &str) -> ServingStatus {
        let mut health = HealthClient::new(connect(&self.running.address).await);
        let request = HealthCheckRequest { service: service.to_owned() };
        health.check(request).await.unwrap().into_inner().status()
    }

    pub async fn check(&mut self, tenant: u32, module: &str) -> CheckModuleResponse {
        self.check_request(check_request(tenant, module)).await.unwrap()
    }

    /// The reason that a check of finance gives, and whether it is marked.
    pub async fn reason_and_mark(&mut self, tenant: u32) -> (DecisionReason, bool) {
        let answer = self.check(tenant, "finance").await;
        (answer.reason(), answer.freshness.unwrap().stale)
    }

    /// Nobody knows about a tenant.
    pub async fn is_unavailable(&mut self, tenant: u32) {
        let status = self.check_request(check_request(tenant, "finance")).await.unwrap_err();
        let found = (status.code(), reason_of(&status));
        assert_eq!(found, (Code::Unavailable, "STORE_UNAVAILABLE".to_owned()));
    }

    /// The suspension of a tenant is known before long, and until then no grant is unmarked.
    pub async fn until_suspended(&mut self, tenant: u32) {
        until_so("the suspension is known", async || {
            let (reason, stale) = self.reason_and_mark(tenant).await;
            assert!(reason != DecisionReason::Enabled || stale, "granted, unmarked");
            reason == DecisionReason::TenantSuspended && !stale
        })
        .await;
    }

    pub async fn check_request(
        &mut self,
        request: CheckModuleRequest,
    ) -> Result<CheckModuleResponse, Status> {
        self.client.check_module(request).await.map(tonic::Response::into_inner)
    }

    /// The same, past the cache.
    pub async fn check_past_the_cache(&mut self, tenant: u32, module: &str) -> CheckModuleResponse {
        let request = CheckModuleRequest { min_revision: Some(1), ..check_request(tenant, module) };
        self.check_request(request).await.unwrap()
    }

    pub async fn list(
        &mut self,
        request: ListEnabledModulesRequest,
    ) -> Result<ListEnabledModulesResponse, Status> {
        self.client.list_enabled_modules(request).await.map(tonic::Response::into_inner)
    }

    pub async fn resolve(
        &mut self,
        tenant_id: &str,
        host: &str,
        token: &str,
    ) -> Result<ResolveTenantResponse, Status> {
        let request = ResolveTenantRequest {
            tenant_id: tenant_id.to_owned(),
            host: host.to_owned(),
            bearer_token: token.to_owned(),
        };
        self.client.resolve_tenant(Request::new(request)).await.map(tonic::Response::into_inner)
    }

    pub fn advance(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    /// Moves the clock so far that the catalogue is too old, and waits until it is read again. The
    /// server does that in the background by a clock of its own: where that has just begun, answers
    /// rest on the old catalogue meanwhile, and are `stale`.
    pub async fn outlive_the_catalogue(&mut self, seconds: i64) {
        self.advance(seconds);
        let of_nobody = CheckFeatureRequest {
            tenant_id: id(999),
            module_code: "finance".to_owned(),
            feature_key: "any".to_owned(),
            ..Default::default()
        };
        until_so("the catalogue is read again", async || {
            let answer = self.client.check_feature(of_nobody.clone()).await.unwrap().into_inner();
            !answer.freshness.unwrap().stale
        })
        .await;
    }
}

pub fn check_request(tenant: u32, module: &str) -> CheckModuleRequest {
    CheckModuleRequest {
        tenant_id: id(tenant),
        module_code: module.to_owned(),
        ..Default::default()
    }
}

/// What a command line comes to.
pub fn serve_args(url: &str, flags: &[&str]) -> ServeArgs {
    let fixed =
        ["entitlementd", "serve", "--listen", "127.0.0.1:0", "--base-domain", "erp.example"];
    let is_in_file = flags.contains(&"--database-url-file");
    let url: &[&str] = if is_in_file { &[] } else { &["--database-url", url] };
    match Cli::parse_from(fixed.iter().chain(url).chain(flags)).command {
        Command::Serve(args) => *args,
        other => panic!("not serve: {other:?}"),
    }
}

fn edge_args(upstreams: &[u16], flags: &[&str]) -> EdgeArgs {
    let fixed = ["entitlementd", "edge", "--listen", "127.0.0.1:0", "--base-domain", "erp.example"];
    let urls = upstreams.iter().map(|port| format!("--upstream=http://127.0.0.1:{port}"));
    let flags = fixed.iter().chain(flags).map(ToString::to_string);
    match Cli::parse_from(flags.chain(urls)).command {
        Command::Edge(args) => *args,
        other => panic!("not edge: {other:?}"),
    }
}

pub async fn connect(address: &ListenAddress) -> Channel {
    endpoint(address).connect().await.unwrap()
}

/// How a client reaches a server.
pub fn endpoint(address: &ListenAddress) -> Endpoint {
    endpoint_over("http", address)
}

/// The same by `http` or `https`.
pub fn endpoint_over(scheme: &str, address: &ListenAddress) -> Endpoint {
    let uri = match address {
        ListenAddress::Tcp(address) => format!("{scheme}://{address}"),
        ListenAddress::Unix(socket) => format!("unix://{}", socket.path.display()),
    };
    Endpoint::try_from(uri).unwrap()
}

/// The word in a status's ErrorInfo, whose domain is ours.
pub fn reason_of(status: &Status) -> String {
    let info = status
        .get_error_details()
        .error_info()
        .cloned()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "entitlement.v1");
    info.reason
}

/// The fields that a status complains of.
pub fn field_violations(status: &Status) -> Vec<String> {
    let details = status.get_error_details();
    let request = details.bad_request().unwrap_or_else(|| panic!("no BadRequest: {status:?}"));
    request.field_violations.iter().map(|violation| violation.field.clone()).collect()
}
