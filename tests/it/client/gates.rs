//! Services behind the layers: axum and tonic, over sockets.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use entitlement_client::{
    Enforce, Entitlements, Error, OnOutage, RequireModule, Resolved, TenantLayer,
    layers::{Grpc, WOULD_DENY},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;
use tower_layer::Layer;

use super::{FLAGS, World, tenant};
use crate::harness::{Database, Row, http, id, token};

/// A service, until it is dropped.
pub struct App {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl App {
    pub async fn axum(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            address,
            serving: tokio::spawn(async { axum::serve(listener, router).await.unwrap() }),
        }
    }

    /// An ERP with a ledger that needs finance.
    async fn erp(entitlements: &Entitlements, enforce: Enforce) -> Self {
        let guarded = |module| RequireModule::http(entitlements, module).enforce(enforce);
        let state = entitlements.clone();
        let by_hand = get(async move |Resolved { tenant, .. }: Resolved| {
            state.require(tenant.id, "finance").await?;
            Ok::<_, Error>("by hand")
        });
        Self::axum(
            Router::new()
                .route("/ledger", get(async |found: Resolved| found.tenant.subdomain.clone()))
                .route_layer(guarded("finance"))
                .route("/either", get(async || "either").layer(guarded("hrms").or("finance")))
                .route("/by-hand", by_hand)
                .route("/public", get(async || "public"))
                .route("/docs/{page}", get(async || "docs"))
                .route("/docsearch", get(async || "search"))
                .layer(
                    TenantLayer::http(entitlements)
                        .public_path("/public")
                        .public_prefix("/docs")
                        .enforce(enforce),
                ),
        )
        .await
    }

    /// What a request with these headers is answered.
    pub async fn get(&self, path: &str, headers: &str) -> http::Reply {
        let host = if headers.to_lowercase().contains("host:") {
            ""
        } else {
            "Host: erp-service:8080\r\n"
        };
        let request = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
        http::send(self.address, &request).await
    }

    /// Its status and its reason; a refusal is a problem.
    async fn refusal(&self, path: &str, headers: &str) -> (u16, String, String) {
        let http::Reply { status, head, body } = self.get(path, headers).await;
        assert!(head.contains("content-type: application/problem+json"), "{head}\n{body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status);
        let [reason, detail] =
            ["reason", "detail"].map(|field| problem[field].as_str().unwrap().to_owned());
        (status, reason, detail)
    }
}

fn names(number: u32) -> String {
    format!("X-Tenant-ID: {}\r\n", id(number))
}

/// A tenant that has finance, and one that has nothing.
async fn two_tenants(flags: &[&str], on_outage: OnOutage) -> World {
    let database = Database::sqlite().await;
    // Before the server starts: news of a tenant outdates what is held of it, and takes a moment.
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_tenant(2, "other", "active").await;
    let world = World::with(database, flags, on_outage).await;
    world.until(1, "finance", |answer| answer.allowed()).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_passes_where_its_tenant_may_use_the_module() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::On).await;
    for (path, body) in [("/ledger", "tenant-1"), ("/either", "either"), ("/by-hand", "by hand")] {
        let reply = erp.get(path, &names(1)).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{path}");
    }
    let by_host = erp.get("/ledger", "Host: tenant-1.erp.example:8080\r\n").await;
    assert_eq!((by_host.status, by_host.body.as_str()), (200, "tenant-1"));
    for path in ["/public", "/docs/start"] {
        assert_eq!(erp.get(path, "").await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_a_problem_that_says_what_to_do() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::On).await;
    let login = "Tenant context not found. Please login.";
    let upgrade =
        "Module 'finance' is not enabled for your account. Please upgrade your subscription.";
    let unreadable = "The header x-tenant-id cannot be read.";
    let not_hrms =
        "Module 'hrms' is not enabled for your account. Please upgrade your subscription.";
    for (path, headers, status, reason, detail) in [
        ("/ledger", String::new(), 401, "TENANT_NOT_FOUND", login),
        ("/docsearch", String::new(), 401, "TENANT_NOT_FOUND", login),
        ("/ledger", names(9), 401, "TENANT_NOT_FOUND", login),
        ("/ledger", "Authorization: Basic eDp5\r\n".into(), 401, "TENANT_NOT_FOUND", login),
        ("/ledger", names(2), 403, "NOT_SUBSCRIBED", upgrade),
        ("/by-hand", names(2), 403, "NOT_SUBSCRIBED", upgrade),
        ("/either", names(2), 403, "NOT_SUBSCRIBED", not_hrms),
        ("/ledger", names(1) + &names(2), 400, "INVALID_FIELD", unreadable),
    ] {
        let refusal = erp.refusal(path, &headers).await;
        assert_eq!(refusal, (status, reason.into(), detail.into()), "{path} {headers}");
    }
    let conflict =
        erp.refusal("/ledger", &format!("{}Host: other.erp.example\r\n", names(1))).await;
    assert_eq!((conflict.0, conflict.1.as_str()), (403, "TENANT_CONFLICT"));
    let garbage = erp.refusal("/ledger", "X-Tenant-ID: 1\r\n").await;
    assert_eq!(garbage.0, 400);
    let challenge = erp.get("/ledger", "").await.head;
    assert!(challenge.contains("www-authenticate: bearer"), "{challenge}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_handed_over_or_kept() {
    let secret = token::secret_file();
    let path = secret.path().to_str().unwrap().to_owned();
    let world =
        two_tenants(&[&FLAGS[..], &["--jwt-secret-file", &path]].concat(), OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::On).await;
    let mut claims = token::claims(&id(1));
    claims["exp"] = json!(crate::harness::NOW.timestamp() + 60);
    let bearer = format!("Authorization: Bearer {}\r\n", token::hs256(&claims));
    assert_eq!(erp.get("/ledger", &bearer).await.body, "tenant-1");
    let forged = "Authorization: Bearer x.y.z\r\n";
    assert_eq!(erp.refusal("/ledger", forged).await.1, "TOKEN_INVALID");
    let layer = RequireModule::http(&world.client, "finance").without_bearer_token();
    let alone =
        App::axum(Router::new().route("/ledger", get(async || "passed").layer(layer))).await;
    assert_eq!(alone.get("/ledger", &(names(1) + forged)).await.body, "passed");
    assert_eq!(alone.refusal("/ledger", forged).await.0, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_some_paths_a_token_that_has_expired_does_no_harm() {
    let secret = token::secret_file();
    let path = secret.path().to_str().unwrap().to_owned();
    let world =
        two_tenants(&[&FLAGS[..], &["--jwt-secret-file", &path]].concat(), OnOutage::Deny).await;
    let who = async |found: Resolved| found.tenant.subdomain.clone();
    let mut router = Router::new();
    for path in ["/login", "/session/refresh", "/ledger"] {
        router = router.route(path, get(who));
    }
    let layer = TenantLayer::http(&world.client)
        .ignore_token_path("/login")
        .ignore_token_prefix("/session");
    let erp = App::axum(router.layer(layer)).await;
    let mut claims = token::claims(&id(2));
    claims["exp"] = json!(crate::harness::NOW.timestamp() - 60);
    let expired = format!("Authorization: Bearer {}\r\n", token::hs256(&claims));
    for path in ["/login", "/session/refresh"] {
        for named in [names(1), "Host: tenant-1.erp.example\r\n".to_owned()] {
            assert_eq!(erp.get(path, &(named + &expired)).await.body, "tenant-1", "{path}");
        }
        assert_eq!(erp.refusal(path, &expired).await.1, "TENANT_NOT_FOUND", "it names nobody");
    }
    assert_eq!(erp.refusal("/ledger", &(names(1) + &expired)).await.1, "TOKEN_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_503_and_says_when_to_come_back() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::On).await;
    world.lose_the_server().await;
    let sentence = "The request cannot be judged at the moment. Please try again later.";
    assert_eq!(
        erp.refusal("/ledger", &names(2)).await,
        (503, "UNSPECIFIED".into(), sentence.into())
    );
    let head = erp.get("/ledger", &names(2)).await.head;
    assert!(head.contains("retry-after: 1\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_by_the_outage_rule_is_503() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::On).await;
    assert_eq!(
        erp.get("/docsearch", &names(2)).await.status,
        200,
        "the tenant is known from now on"
    );
    world.until_resolved_by_id(2).await;
    world.lose_the_server().await;
    let sentence = "It cannot be checked at the moment whether your account may use this. Please try again in a moment.";
    assert_eq!(
        erp.refusal("/ledger", &names(2)).await,
        (503, "UNSPECIFIED".into(), sentence.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_mode_lets_pass_and_marks() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::Off).await;
    let mark = |head: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{WOULD_DENY}: ")));
        line.map(str::to_owned)
    };
    for (path, headers, reason) in [
        ("/either", String::new(), Some("tenant_not_found")),
        ("/either", names(2), Some("not_subscribed")),
        ("/ledger", names(2), Some("not_subscribed")),
        ("/ledger", names(1), None),
        ("/public", String::new(), None),
    ] {
        let reply = erp.get(path, &headers).await;
        assert_eq!((reply.status, mark(&reply.head).as_deref()), (200, reason), "{path} {headers}");
    }
    assert_eq!(erp.refusal("/ledger", "").await.0, 401, "what needs the tenant has to say so");
}

/// A tonic server with one guarded service.
async fn grpc(
    layer: RequireModule<Grpc>,
    tenants: Option<TenantLayer<Grpc>>,
) -> (App, HealthClient<Channel>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap();
    let guarded = layer.layer(service);
    let serving = tokio::spawn(async move {
        let server = tonic::transport::Server::builder();
        match tenants {
            Some(tenants) => {
                server.layer(tenants).add_service(guarded).serve_with_incoming(incoming).await
            }
            None => { server }.add_service(guarded).serve_with_incoming(incoming).await,
        }
        .unwrap();
    });
    let channel =
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    (App { address, serving }, HealthClient::new(channel))
}

async fn call(
    client: &mut HealthClient<Channel>,
    number: Option<u32>,
) -> Result<tonic::metadata::MetadataMap, Status> {
    let mut request = Request::new(HealthCheckRequest { service: String::new() });
    if let Some(number) = number {
        request.metadata_mut().insert("x-tenant-id", id(number).parse().unwrap());
    }
    Ok(client.check(request).await?.metadata().clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tonic_service_behind_a_gate_answers_with_statuses() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let gate = || RequireModule::grpc(&world.client, "finance");
    for tenants in [None, Some(TenantLayer::grpc(&world.client))] {
        let (_app, mut client) = grpc(gate(), tenants).await;
        call(&mut client, Some(1)).await.unwrap();
        let denied = call(&mut client, Some(2)).await.unwrap_err();
        let reason = denied.get_details_error_info().unwrap().reason;
        assert_eq!((denied.code(), reason.as_str()), (Code::PermissionDenied, "NOT_SUBSCRIBED"));
        assert!(denied.message().contains("Please upgrade your subscription"), "{denied}");
        let nobody = call(&mut client, None).await.unwrap_err();
        assert_eq!(
            (nobody.code(), nobody.message()),
            (Code::Unauthenticated, "Tenant context not found. Please login.")
        );
    }
    let (_app, mut client) = grpc(gate().enforce(Enforce::Off), None).await;
    let marked = call(&mut client, Some(2)).await.unwrap();
    assert_eq!(marked.get(WOULD_DENY).unwrap(), "NOT_SUBSCRIBED");

    let public = TenantLayer::grpc(&world.client).public_prefix("/grpc.health.v1.Health");
    let (_app, mut client) = grpc(gate(), Some(public)).await;
    assert_eq!(
        call(&mut client, None).await.unwrap_err().code(),
        Code::Unauthenticated,
        "the gate still stands"
    );

    world.lose_the_server().await;
    let (_app, mut client) = grpc(gate(), None).await;
    let later = call(&mut client, Some(3)).await.unwrap_err();
    assert_eq!(later.code(), Code::Unavailable);
    assert!(later.get_details_retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_behind_a_gate_sees_a_change_at_once() {
    let world = two_tenants(&FLAGS, OnOutage::Deny).await;
    let erp = App::erp(&world.client, Enforce::On).await;
    assert_eq!(erp.get("/ledger", &names(1)).await.status, 200);
    world.server.database.set_status(1, "suspended").await;
    world.until(1, "finance", |answer| !answer.allowed()).await;
    let refusal = erp.refusal("/ledger", &names(1)).await;
    assert_eq!((refusal.0, refusal.1.as_str()), (403, "TENANT_SUSPENDED"));
    assert!(!world.client.check(tenant(1), "finance").await.unwrap().allowed());
}
