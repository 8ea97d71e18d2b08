//! Two servers over one database, and what callers and proxies ask of them.

use std::{net::SocketAddr, time::Duration};

use entitlementd::{
    clock::Clock,
    proto::{
        envoy::service::auth::v3::authorization_client::AuthorizationClient,
        v1::{
            AuthorizeRequest, BatchCheckModulesRequest,
            entitlement_service_client::EntitlementServiceClient,
        },
    },
    server::{self, Running},
};
use sea_orm::DatabaseTransaction;
use tempfile::TempDir;
use tonic::{Code, Request, transport::Channel};

use crate::{
    callers::callers,
    harness::{
        Database, Row,
        database::lock_tenants,
        http, id,
        mesh::{envoy_asks, port_of, send_to},
        prometheus::Prometheus,
        server::{check_request, connect, serve_args},
        until_so,
    },
    metrics::SHOWN,
};

const ROUTES: &str = r#"
    [[route]]
    path = "/orders/**"
    module = "finance"

    [[route]]
    path = "/people/**"
    module = "hrms"
"#;

/// A tenant that is asked about only when it cannot be read.
const UNHELD: u32 = 2;

/// One that anybody may ask and that enforces, and one with callers, in shadow mode.
pub(super) struct Instances {
    open: Instance,
    shadow: Instance,
    database: Database,
    /// The last tenant that was asked about, of those that there are not.
    next: u32,
    _files: (TempDir, tempfile::NamedTempFile),
}

struct Instance {
    running: Running,
    channel: Channel,
    client: EntitlementServiceClient<Channel>,
}

impl Instance {
    async fn start(database: &Database, flags: &[&str]) -> Self {
        let own = ["--forward-auth-listen", "127.0.0.1:0", "--database-statement-timeout", "300ms"];
        let flags = [&SHOWN[..], &own, flags].concat();
        let running =
            server::start(serve_args(&database.url, &flags), Clock::System).await.unwrap();
        let channel = connect(&running.address).await;
        let client = EntitlementServiceClient::new(channel.clone());
        Self { running, channel, client }
    }

    async fn forward_auth(&self, tenant: u32, path: &str, caller: &str) -> u16 {
        let address = self.running.forward_auth_address.as_ref().unwrap();
        let (tenant, bearer) = (id(tenant), format!("Bearer {caller}"));
        let headers = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", path),
            ("x-forwarded-host", "service.internal"),
            ("x-tenant-id", &tenant),
            ("x-entitlement-caller", &bearer),
        ];
        let address = SocketAddr::from(([127, 0, 0, 1], port_of(address)));
        send_to(address, "GET", "/", &headers).await.status
    }

    /// Does a request pass, as Envoy asks?
    async fn ext_authz(&self, tenant: u32, path: &str) -> bool {
        let request = envoy_asks(path, [("x-tenant-id", id(tenant))], None);
        let mut envoy = AuthorizationClient::new(self.channel.clone());
        envoy.check(request).await.unwrap().into_inner().denied_response.is_none()
    }
}

impl Instances {
    pub(super) async fn start() -> Self {
        let database = Database::postgres().await;
        for tenant in [1, UNHELD] {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let [routes, log] = ["routes.toml", "decisions.jsonl"].map(|name| folder.path().join(name));
        std::fs::write(&routes, ROUTES).unwrap();
        let callers = callers(&[("shop", r#"services = ["entitlement", "forward-auth"]"#)]);
        let routed = ["--routes", routes.to_str().unwrap()];
        let logged = ["--decision-log", log.to_str().unwrap()];
        let bounded = ["--callers-file", callers.path().to_str().unwrap(), "--enforce", "off"];
        let open = Instance::start(&database, &[routed, logged].concat()).await;
        let shadow = Instance::start(&database, &[&routed[..], &bounded].concat()).await;
        let instances = Self { open, shadow, database, next: UNHELD, _files: (folder, callers) };
        instances.wait_until_ready().await;
        instances
    }

    async fn wait_until_ready(&self) {
        for address in self.metrics() {
            until_so("it is ready", async || {
                http::get(address, "/readyz").await.body.starts_with("ready")
            })
            .await;
        }
    }

    pub(super) fn metrics(&self) -> [SocketAddr; 2] {
        [&self.open, &self.shadow].map(|instance| instance.running.metrics_address.unwrap())
    }

    /// Asks all that can be asked, until Prometheus says so.
    pub(super) async fn work_until(&mut self, expression: &str, prometheus: &Prometheus) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        while !prometheus.finds(expression).await {
            assert!(tokio::time::Instant::now() < patience, "{expression} gave nothing");
            self.ask_services().await;
            self.ask_proxies().await;
            self.change().await;
        }
    }

    fn new_tenant(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    async fn ask_services(&mut self) {
        let new = self.new_tenant();
        let client = &mut self.open.client;
        for (tenant, module, allowed) in
            [(1, "finance", true), (1, "hrms", false), (new, "finance", false)]
        {
            let answer = client.check_module(check_request(tenant, module)).await.unwrap();
            assert_eq!(answer.into_inner().allowed, allowed);
        }
        let codes = ["finance", "hrms"].map(str::to_owned).to_vec();
        let batch = BatchCheckModulesRequest {
            tenant_id: id(1),
            module_codes: codes.clone(),
            ..Default::default()
        };
        client.batch_check_modules(batch).await.unwrap();
        let authorize =
            AuthorizeRequest { tenant_id: id(1), any_of_module_codes: codes, ..Default::default() };
        client.authorize(authorize).await.unwrap();

        let client = &mut self.shadow.client;
        let refused = client.check_module(check_request(1, "finance")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        let mut known = Request::new(check_request(1, "finance"));
        known.metadata_mut().insert("authorization", "Bearer shop".parse().unwrap());
        client.check_module(known).await.unwrap();
    }

    async fn ask_proxies(&self) {
        assert!(self.open.ext_authz(1, "/orders/1").await);
        assert!(!self.open.ext_authz(1, "/people/1").await);
        for (path, status) in [("/orders/1", 200), ("/people/1", 403)] {
            assert_eq!(self.open.forward_auth(1, path, "").await, status);
            assert_eq!(self.shadow.forward_auth(1, path, "shop").await, 200);
        }
    }

    async fn change(&self) {
        self.database
            .execute("UPDATE tenants SET name = name || 'x' WHERE length(name) < 50")
            .await;
        self.database.execute("UPDATE tenants SET name = 'x' WHERE length(name) >= 50").await;
    }

    /// Asks what cannot be read, until Prometheus says so, and lets it stay so while the lock is kept.
    pub(super) async fn fail_until(
        &mut self,
        expression: &str,
        prometheus: &Prometheus,
    ) -> DatabaseTransaction {
        let lock = lock_tenants(&self.database).await;
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        while !prometheus.finds(expression).await {
            assert!(tokio::time::Instant::now() < patience, "{expression} gave nothing");
            let request = check_request(UNHELD, "finance");
            let failed = self.open.client.check_module(request).await.unwrap_err();
            assert_eq!(failed.code(), Code::Unavailable);
            assert_eq!(self.open.forward_auth(UNHELD, "/orders/1", "").await, 503);
            assert!(!self.open.ext_authz(UNHELD, "/orders/1").await);
        }
        lock
    }
}
