//! Callers: who may ask, and about whom.

use std::time::Duration;

use entitlement_client::{Config, Entitlements, OnOutage, Reason};
use entitlementd::proto::{
    envoy::service::auth::v3::{
        DeniedHttpResponse, OkHttpResponse, authorization_client::AuthorizationClient,
    },
    v1::{
        AuthorizeRequest, BatchCheckModulesRequest, ExplainFeatureRequest, ExplainLimitRequest,
        ExplainModuleRequest, ListEnabledModulesRequest, ListTenantIdsRequest,
        ResolveTenantRequest, WatchChangesRequest, WatchChangesResponse,
        entitlement_service_client::EntitlementServiceClient, watch_changes_response::Event,
    },
};
use prost::Message;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::interceptor::InterceptedService,
    transport::Channel,
};
use tonic_types::StatusExt;

use crate::change_log::revision;
use crate::harness::{
    Database, Row, Server,
    http::Metrics,
    id,
    mesh::{envoy_asks, port_of, send_to},
    pki::{ALWAYS, Authority, Files, connect_tls},
    process, reason_of,
    server::{check_request, connect},
    until_so,
};

type Client = EntitlementServiceClient<InterceptedService<Channel, Bearer>>;

/// Sends a bearer token along.
#[derive(Clone)]
struct Bearer(MetadataValue<Ascii>);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A file with a caller for each of these: its token, and what else is said of it.
pub fn callers(all: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    write_callers(&file, all);
    file
}

pub fn write_callers(file: &tempfile::NamedTempFile, all: &[(&str, &str)]) {
    let caller = |(token, rest): &(&str, &str)| {
        let hash = hex::encode(entitlementd::security::hashes::hash(token));
        format!("[[caller]]\nname = \"{token}\"\ntokens_sha256 = [\"{hash}\"]\n{rest}\n")
    };
    std::fs::write(file.path(), all.iter().map(caller).collect::<String>()).unwrap();
}

const ALL: &str = "services = [\"entitlement\", \"ext-authz\", \"forward-auth\"]";

async fn start(callers: &tempfile::NamedTempFile, more: &[&str]) -> Server {
    let database = Database::sqlite().await;
    for tenant in [1, 2] {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
        database.mk_subscription(tenant, "hrms", Row::default()).await;
    }
    let flags =
        ["--callers-file", callers.path().to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
    Server::start_with(database, &[&flags, more].concat()).await
}

async fn client(server: &Server, token: &str) -> Client {
    let bearer = Bearer(format!("Bearer {token}").parse().unwrap());
    EntitlementServiceClient::with_interceptor(connect(&server.running.address).await, bearer)
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, String) {
    let status = answer.unwrap_err();
    (status.code(), reason_of(&status), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_known_callers_are_answered_and_health_answers_everybody() {
    let file = callers(&[("orders", ALL), ("envoy", "services = [\"ext-authz\"]")]);
    let mut server = start(&file, &[]).await;
    let unknown = (Code::Unauthenticated, "CALLER_UNAUTHENTICATED".to_owned());
    let known = client(&server, "orders").await.check_module(check_request(1, "finance")).await;
    assert!(known.unwrap().into_inner().allowed);
    for answer in [
        server.client.check_module(check_request(1, "finance")).await,
        client(&server, "stranger").await.check_module(check_request(1, "finance")).await,
    ] {
        let (code, reason, _) = refused(answer);
        assert_eq!((code, reason), unknown);
    }
    let (code, reason, _) =
        refused(client(&server, "envoy").await.check_module(check_request(1, "finance")).await);
    assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    let metrics = Metrics::read(server.running.metrics_address.unwrap()).await;
    assert_eq!(metrics.of("caller_refusals_total{reason=\"unknown\"}"), 2.0);
    assert_eq!(metrics.of("caller_refusals_total{reason=\"service\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_one_tenant_learns_nothing_of_others_not_even_that_they_exist() {
    let scope = format!("{ALL}\ntenants = [\"{}\"]", id(1));
    let file = callers(&[("one", &scope)]);
    let server = start(&file, &[]).await;
    let mut one = client(&server, "one").await;
    let watched = |tenant_ids| WatchChangesRequest { tenant_ids, ..Default::default() };
    assert!(one.check_module(check_request(1, "finance")).await.unwrap().into_inner().allowed);
    let by_host = |host: &str| ResolveTenantRequest { host: host.to_owned(), ..Default::default() };
    assert_eq!(
        one.resolve_tenant(by_host("tenant-1.erp.example"))
            .await
            .unwrap()
            .into_inner()
            .tenant
            .unwrap()
            .id,
        id(1)
    );

    // Tenant 2 exists, tenant 9 does not: nobody can tell by the answers.
    let mut told = Vec::new();
    for other in [2, 9] {
        let tenant_id = id(other);
        let host = format!("tenant-{other}.erp.example");
        told.push(refused(one.check_module(check_request(other, "finance")).await));
        let request = BatchCheckModulesRequest {
            tenant_id: tenant_id.clone(),
            module_codes: vec!["hrms".into()],
            ..Default::default()
        };
        told.push(refused(one.batch_check_modules(request).await));
        let request =
            ListEnabledModulesRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        told.push(refused(one.list_enabled_modules(request).await));
        let request = ResolveTenantRequest { tenant_id: tenant_id.clone(), ..Default::default() };
        told.push(refused(one.resolve_tenant(request).await));
        told.push(refused(one.resolve_tenant(by_host(&host)).await));
        let any_of_module_codes = vec!["hrms".to_owned()];
        let request =
            AuthorizeRequest { host: host.clone(), any_of_module_codes, ..Default::default() };
        told.push(refused(one.authorize(request).await));
        for tenant in [tenant_id.clone(), format!("tenant-{other}")] {
            let module_code = "hrms".to_owned();
            let request =
                ExplainModuleRequest { tenant: tenant.clone(), module_code, ..Default::default() };
            told.push(refused(one.explain_module(request).await));
            let request = ExplainFeatureRequest {
                tenant: tenant.clone(),
                module_code: "hrms".into(),
                feature_key: "export".into(),
                at: None,
            };
            told.push(refused(one.explain_feature(request).await));
            let limit_key = "users".to_owned();
            let request = ExplainLimitRequest { tenant, limit_key, ..Default::default() };
            told.push(refused(one.explain_limit(request).await));
        }
        told.push(refused(one.watch_changes(watched(vec![id(1), tenant_id])).await));
    }
    let only = (
        Code::PermissionDenied,
        "CALLER_NOT_ALLOWED".into(),
        "this caller may not ask about this tenant".into(),
    );
    assert_eq!(told, vec![only; 26]);

    for answer in [
        refused(one.list_tenant_ids(ListTenantIdsRequest::default()).await),
        refused(one.watch_changes(watched(vec![])).await),
    ] {
        assert_eq!(answer.2, "this caller may not ask about all tenants");
    }
    let metrics = Metrics::read(server.running.metrics_address.unwrap()).await;
    assert_eq!(metrics.of("caller_refusals_total{reason=\"tenant\"}"), 26.0);
    assert_eq!(metrics.of("caller_refusals_total{reason=\"enumeration\"}"), 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_one_module_is_told_of_no_other() {
    let scope = format!("{ALL}\nmodules = [\"finance\"]");
    let file = callers(&[("finance", &scope)]);
    let server = start(&file, &[]).await;
    let mut finance = client(&server, "finance").await;
    assert!(finance.check_module(check_request(1, "finance")).await.unwrap().into_inner().allowed);
    let (code, reason, _) = refused(finance.check_module(check_request(1, "hrms")).await);
    assert_eq!((code, reason.as_str()), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    let any_of_module_codes = vec!["finance".to_owned(), "hrms".to_owned()];
    let request = AuthorizeRequest { tenant_id: id(1), any_of_module_codes, ..Default::default() };
    assert_eq!(refused(finance.authorize(request).await).0, Code::PermissionDenied);
    let request = ExplainFeatureRequest {
        tenant: id(1),
        module_code: "hrms".into(),
        feature_key: "export".into(),
        at: None,
    };
    assert_eq!(refused(finance.explain_feature(request).await).0, Code::PermissionDenied);
    let request = ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() };
    let list = finance.list_enabled_modules(request).await.unwrap().into_inner();
    let codes: Vec<_> = list.modules.iter().map(|module| module.code.as_str()).collect();
    assert_eq!(codes, ["finance"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_is_known_by_its_certificate_and_a_token_says_more() {
    let ours = Authority::new("ours");
    let files = Files::new(&ours.server());
    let ca = files.put("ca.pem", &ours.pem);
    let known =
        format!("[[caller]]\nname = \"orders\"\ncertificates = [\"spiffe://erp/orders\"]\n{ALL}\n");
    let path = files.put("callers.toml", &known);
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut flags = files.flags();
    flags.extend(["--client-ca", &ca, "--callers-file", &path].map(str::to_owned));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let args = crate::harness::server::serve_args(&database.url, &flags);
    let clock = entitlementd::clock::ManualClock::at(crate::harness::NOW);
    let running =
        entitlementd::server::start(args, entitlementd::clock::Clock::Manual(clock)).await.unwrap();
    let channel = async |name: &str| {
        let client = ours.client(name, 2, ALWAYS);
        connect_tls(&running.address, &[&ours], Some(&client)).await.unwrap()
    };
    let ask = async |channel| {
        EntitlementServiceClient::new(channel).check_module(check_request(1, "finance")).await
    };
    let orders = channel("spiffe://erp/orders").await;
    until_so("the server answers", async || ask(orders.clone()).await.is_ok()).await;
    // The authority is ours, the name is not.
    let (code, reason, _) = refused(ask(channel("spiffe://erp/stranger").await).await);
    assert_eq!((code, reason.as_str()), (Code::Unauthenticated, "CALLER_UNAUTHENTICATED"));
    let bearer = Bearer("Bearer stranger".parse().unwrap());
    let mut with_token = EntitlementServiceClient::with_interceptor(orders, bearer);
    assert_eq!(
        refused(with_token.check_module(check_request(1, "finance")).await).0,
        Code::Unauthenticated
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_library_shows_its_certificate_and_its_trace() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let ours = Authority::new("ours");
    let files = Files::new(&ours.server());
    let ca = files.put("ca.pem", &ours.pem);
    let known =
        format!("[[caller]]\nname = \"orders\"\ncertificates = [\"spiffe://erp/orders\"]\n{ALL}\n");
    let path = files.put("callers.toml", &known);
    let mut flags = files.flags();
    let more = ["--demo", "--listen", "127.0.0.1:0", "--log-level", "info,entitlementd=debug"];
    flags.extend(
        ["--client-ca", &ca, "--callers-file", &path].into_iter().chain(more).map(str::to_owned),
    );
    let mut server = process::Process::serve(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let address = server.address();
    server.wait_for("\"ready\"");
    let client = async |name: &str| {
        let issued = ours.client(name, 2, ALWAYS);
        let config = Config::new(format!("https://{address}"), OnOutage::Deny).without_watch();
        let config = config
            .tls_ca(ours.pem.as_str())
            .tls_domain("localhost")
            .tls_identity(issued.certificate, issued.key);
        let config = config.traceparent(|| Some(format!("00-{TRACE}-b7ad6b7169203331-01")));
        let client = Entitlements::connect(config).unwrap();
        client.check(id(1).parse().unwrap(), "no-such-module").await
    };
    let answer = client("spiffe://erp/orders").await.unwrap();
    assert!(!answer.allowed() && answer.reason() == Reason::ModuleNotFound, "{answer:?}");
    let answer = client("spiffe://erp/stranger").await;
    assert!(!answer.is_ok_and(|answer| answer.reason() == Reason::ModuleNotFound));
    server.wait_for(TRACE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_holds_as_soon_as_it_changes_and_a_broken_one_changes_nothing() {
    let file = callers(&[("orders", ALL)]);
    let server = start(&file, &[]).await;
    let mut orders = client(&server, "orders").await;
    std::fs::write(file.path(), "[[caller]]\nname = 1").unwrap();
    let mut wms = client(&server, "wms").await;
    assert!(orders.check_module(check_request(1, "finance")).await.is_ok());
    write_callers(&file, &[("wms", ALL)]);
    until_so("the new caller is known", async || {
        wms.clone().check_module(check_request(1, "finance")).await.is_ok()
    })
    .await;
    assert_eq!(
        refused(orders.check_module(check_request(1, "finance")).await).0,
        Code::Unauthenticated
    );
    assert!(wms.check_module(check_request(1, "finance")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_told_when_to_come_again_and_others_are_answered() {
    let slow = format!("{ALL}\nrate = 2");
    let file = callers(&[("slow", &slow), ("orders", ALL)]);
    let server = start(&file, &[]).await;
    let mut slow = client(&server, "slow").await;
    let mut too_fast = None;
    for _ in 0..200 {
        if let Err(status) = slow.check_module(check_request(1, "finance")).await {
            too_fast = Some(status);
            break;
        }
    }
    let status = too_fast.expect("200 requests within a hundred seconds are too many");
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::ResourceExhausted, "CALLER_TOO_FAST")
    );
    let wait = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    let mut orders = client(&server, "orders").await;
    for _ in 0..20 {
        assert!(orders.check_module(check_request(1, "finance")).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_file_of_callers_it_is_addresses_whose_requests_are_counted() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Server::start_with(database, &["--caller-rate", "3"]).await;
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(server.check_request(check_request(1, "finance")).await.is_err());
    }
    assert!(refused > 0);
    assert_eq!(
        server.health("").await,
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_proxy_a_clients_certificate_names_the_tenant_that_it_vouches_for() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let hash = hex::encode(entitlementd::security::hashes::hash("envoy"));
    let text = format!(
        "[[caller]]\nname = \"envoy\"\ntokens_sha256 = [\"{hash}\"]\n{ALL}\n\
         [[caller]]\nname = \"customer\"\ncertificates = [\"spiffe://customer/one\"]\nservices = []\nvouches_for = \"{}\"\n",
        id(1)
    );
    std::fs::write(file.path(), text).unwrap();
    let server = start(&file, &["--unmatched", "tenant", "--require-verified-tenant"]).await;
    let bearer = Bearer("Bearer envoy".parse().unwrap());
    let mut envoy =
        AuthorizationClient::with_interceptor(connect(&server.running.address).await, bearer);
    let mut ask = async |principal: &str, header: Option<String>| {
        let headers = header.map(|id| ("x-tenant-id", id));
        let request = envoy_asks("/orders", headers, Some(principal));
        let answer = envoy.check(request).await.unwrap().into_inner();
        if let Some(denied) = answer.denied_response {
            return Err(DeniedHttpResponse::decode(&*denied).unwrap().status.unwrap().code);
        }
        let ok = OkHttpResponse::decode(&*answer.ok_response.unwrap()).unwrap();
        let headers = ok.headers.into_iter().filter_map(|option| option.header);
        Ok(headers
            .map(|header| (header.key, header.value))
            .collect::<std::collections::BTreeMap<_, _>>())
    };
    let passed = ask("spiffe://customer/one", None).await.unwrap();
    assert_eq!(
        (passed["x-tenant-id"].as_str(), passed["x-tenant-verified"].as_str()),
        (id(1).as_str(), "true")
    );
    assert_eq!(ask("spiffe://customer/two", None).await, Err(401));
    assert_eq!(ask("", Some(id(1))).await, Err(401));
    // A header says something else than the certificate.
    assert_eq!(ask("spiffe://customer/one", Some(id(2))).await, Err(403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_over_http_is_known_by_a_header_of_its_own() {
    let file = callers(&[("nginx", ALL)]);
    let server =
        start(&file, &["--unmatched", "tenant", "--forward-auth-listen", "127.0.0.1:0"]).await;
    let port = port_of(server.running.forward_auth_address.as_ref().unwrap());
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let own = id(1);
    let ask = async |caller: &str| {
        let headers = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-uri", "/orders"),
            ("x-tenant-id", own.as_str()),
        ];
        let proof = [("x-entitlement-caller", caller)];
        let reply = send_to(address, "GET", "/", &[&headers[..], &proof].concat()).await;
        (reply.status, reply.body.contains("CALLER_UNAUTHENTICATED"))
    };
    assert_eq!(ask("Bearer nginx").await, (200, false));
    assert_eq!(ask("Bearer stranger").await, (403, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_decision_log_says_who_asked() {
    let file = callers(&[("orders", ALL)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let server = start(&file, &["--decision-log", path.to_str().unwrap()]).await;
    client(&server, "orders").await.check_module(check_request(1, "wms")).await.unwrap();
    server.running.stop().await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"caller\":\"orders\""), "{text}");
}

#[test]
fn a_file_that_cannot_be_used_is_told_before_anything_is_answered() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[[caller]]\nname = \"orders\"\nservices = [\"everything\"]\n")
        .unwrap();
    let output =
        process::run(&["serve", "--demo", "--callers-file", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--callers-file names") && told.contains("everything"), "{told}");
}

/// The next thing that a watcher is told, heartbeats aside.
async fn told(watch: &mut Streaming<WatchChangesResponse>) -> Result<Event, Status> {
    loop {
        let next =
            timeout(Duration::from_secs(30), watch.message()).await.expect("nothing is told");
        match next?.expect("the stream has ended").event.unwrap() {
            Event::Heartbeat(_) | Event::Reset(_) => {}
            event => return Ok(event),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_hears_what_it_may_ask_about_and_no_longer_than_it_may() {
    let only_finance = format!("{ALL}\nmodules = [\"finance\"]");
    let only_one = format!("{ALL}\ntenants = [\"{}\"]", id(1));
    let file =
        callers(&[("gone", ALL), ("narrowed", ALL), ("finance", &only_finance), ("other", ALL)]);
    let server = start(&file, &["--changes", "auto", "--poll-interval", "20ms"]).await;
    let mut watching = Vec::new();
    for token in ["gone", "narrowed", "finance", "other"] {
        let watched = WatchChangesRequest { tenant_ids: vec![id(1), id(2)], ..Default::default() };
        let mut watch =
            client(&server, token).await.watch_changes(watched).await.unwrap().into_inner();
        assert!(matches!(told(&mut watch).await, Ok(Event::Opened(_))));
        watching.push(watch);
    }
    let [gone, narrowed, finance, other] = &mut watching[..] else { panic!("there are four") };

    // Both modules end, and one of them is not for the one that may ask about finance.
    let ends = "UPDATE tenant_subscriptions SET expires_at = '2026-11-23T12:01:00Z'";
    server.database.execute(ends).await;
    let last = [revision(&server.database, 1).await, revision(&server.database, 2).await]
        .map(i64::cast_unsigned);
    for watch in [&mut *finance, &mut *other] {
        let mut left = vec![(id(1), last[0]), (id(2), last[1])];
        while !left.is_empty() {
            if let Event::TenantChanged(changed) = told(watch).await.unwrap() {
                left.retain(|one| *one != (changed.tenant_id.clone(), changed.revision));
            }
        }
    }
    // Whoever is told of what came afterwards has read what came before.
    let until_catalogue = async |watch: &mut Streaming<WatchChangesResponse>| {
        while !matches!(told(watch).await, Ok(Event::CatalogueChanged(_))) {}
    };
    server.database.execute("UPDATE plans SET price_inr = 1 WHERE slug = 'growth'").await;
    until_catalogue(finance).await;
    until_catalogue(other).await;
    server.advance(61);
    let modules = async |watch: &mut Streaming<WatchChangesResponse>, count: usize| {
        let mut modules = Vec::new();
        while modules.len() < count {
            if let Event::Transition(transition) = told(watch).await.unwrap() {
                modules.push(transition.module_code);
            }
        }
        modules.sort();
        modules
    };
    // The clock is looked at again when something happens.
    server.database.execute("UPDATE plans SET price_inr = 2 WHERE slug = 'growth'").await;
    assert_eq!(modules(other, 4).await, ["finance", "finance", "hrms", "hrms"]);
    assert_eq!(modules(finance, 2).await, ["finance", "finance"]);

    write_callers(&file, &[("narrowed", &only_one), ("finance", &only_finance), ("other", ALL)]);
    let until_refused = async |watch: &mut Streaming<WatchChangesResponse>| loop {
        if let Err(status) = told(watch).await {
            return (status.code(), reason_of(&status));
        }
    };
    assert_eq!(
        until_refused(gone).await,
        (Code::Unauthenticated, "CALLER_UNAUTHENTICATED".to_owned())
    );
    assert_eq!(
        until_refused(narrowed).await,
        (Code::PermissionDenied, "CALLER_NOT_ALLOWED".to_owned())
    );
    // Those who may go on.
    server.database.execute("UPDATE tenants SET status = 'suspended'").await;
    loop {
        match told(other).await.unwrap() {
            Event::TenantChanged(_) => break,
            Event::Transition(_) | Event::CatalogueChanged(_) => {}
            event => panic!("{event:?}"),
        }
    }
}
