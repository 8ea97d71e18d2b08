//! gzip: what is accepted, and which answers are compressed.

use std::io::{Read, Write};

use entitlementd::proto::{
    envoy::{
        CheckRequest,
        service::auth::v3::{
            AttributeContext,
            attribute_context::{HttpRequest, Request},
            authorization_client::AuthorizationClient,
        },
    },
    v1::{
        CheckModuleResponse, ListModulesRequest, ListTenantIdsRequest, ListTenantIdsResponse,
        QueryUsageRequest, entitlement_service_client::EntitlementServiceClient,
        tenant_admin_service_client::TenantAdminServiceClient,
        usage_service_client::UsageServiceClient,
    },
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use prost::Message;
use tonic::{Code, codec::CompressionEncoding::Gzip};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use crate::{
    admin::{self, Admin},
    harness::{
        Database, Row, Server,
        data::id,
        raw::{self, framed},
        server::{check_request, connect},
    },
};

const CHECK: &str = "/entitlement.v1.EntitlementService/CheckModule";
const LIST: &str = "/entitlement.v1.EntitlementService/ListTenantIds";
/// Methods, and how large their requests may be.
const METHODS: [(&str, usize); 3] = [
    (CHECK, 64 << 10),
    ("/entitlement.v1.UsageService/ReserveUsage", 256 << 10),
    ("/envoy.service.auth.v3.Authorization/Check", 256 << 10),
];
const SENDS_GZIP: [(&str, &str); 1] = [("grpc-encoding", "gzip")];
const TAKES_GZIP: [(&str, &str); 1] = [("grpc-accept-encoding", "identity,deflate,gzip")];

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(message).unwrap();
    encoder.finish().unwrap()
}

async fn start() -> Server {
    let database = Database::sqlite().await;
    for tenant in 0..200 {
        database.mk_subscribed(tenant, "finance", Row::default()).await;
    }
    Server::start_with(database, &["--changes", "off"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_accepts_requests_that_are_compressed() {
    let admin = Admin::of(Database::sqlite().await, &[]).await;
    admin.server.database.mk_subscribed(1, "finance", Row::default()).await;
    let [data, administrators] = [
        connect(&admin.server.running.address).await,
        connect(&admin::address(&admin.server)).await,
    ];
    let mut checks = EntitlementServiceClient::new(data.clone()).send_compressed(Gzip);
    assert!(checks.check_module(check_request(1, "finance")).await.unwrap().into_inner().allowed);

    let mut usage = UsageServiceClient::new(data.clone()).send_compressed(Gzip);
    let spans = QueryUsageRequest { tenant_id: id(1), ..Default::default() };
    assert_eq!(usage.query_usage(spans).await.unwrap_err().code(), Code::InvalidArgument, "read");

    let http = HttpRequest { method: "GET".into(), path: "/".into(), ..Default::default() };
    let asked = AttributeContext { source: None, request: Some(Request { http: Some(http) }) };
    let asked = CheckRequest { attributes: asked.encode_to_vec().into() };
    let mut proxies = AuthorizationClient::new(data.clone()).send_compressed(Gzip);
    assert!(proxies.check(asked).await.unwrap().into_inner().status.is_some());

    let mut administrator =
        TenantAdminServiceClient::new(administrators.clone()).send_compressed(Gzip);
    let request = admin.by(entitlementd::domain::Role::Viewer, ListModulesRequest::default());
    assert!(!administrator.list_modules(request).await.unwrap().into_inner().modules.is_empty());

    for channel in [data, administrators] {
        let mut health = HealthClient::new(channel.clone()).send_compressed(Gzip);
        health.check(HealthCheckRequest::default()).await.unwrap();
        let mut reflection = ServerReflectionClient::new(channel).send_compressed(Gzip);
        let message_request = Some(MessageRequest::ListServices(String::new()));
        let question = ServerReflectionRequest { host: String::new(), message_request };
        let asked = futures_util::stream::iter([question]);
        let mut answers = reflection.server_reflection_info(asked).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_compressed_for_those_who_take_it_and_no_others() {
    let server = start().await;
    let list = async |page_size: i32, headers: &[(&str, &str)]| {
        let request = ListTenantIdsRequest { page_size, ..Default::default() };
        let body = framed(false, &request.encode_to_vec());
        raw::call(&server.running.address, LIST, headers, body).await
    };
    let plain = list(200, &[]).await;
    assert_eq!((plain.body[0], plain.headers.get("grpc-encoding")), (0, None));
    let compressed = list(200, &TAKES_GZIP).await;
    assert_eq!(
        (compressed.body[0], &compressed.headers["grpc-encoding"]),
        (1, &"gzip".parse().unwrap())
    );
    assert!(compressed.body.len() * 2 < plain.body.len(), "{} bytes", compressed.body.len());
    let mut inflated = Vec::new();
    GzDecoder::new(&compressed.body[5..]).read_to_end(&mut inflated).unwrap();
    let ids = |message: &[u8]| ListTenantIdsResponse::decode(message).unwrap().tenant_ids;
    assert_eq!(ids(&inflated), ids(&plain.body[5..]));

    let small = list(10, &TAKES_GZIP).await;
    assert_eq!(small.body[0], 0, "a message of {} bytes", small.body.len());
    assert_eq!(ids(&small.body[5..]).len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checks_are_never_compressed() {
    let server = start().await;
    let answer = raw::check(&server.running.address, 1, "finance", &TAKES_GZIP).await;
    assert_eq!((answer.body[0], answer.headers.get("grpc-encoding")), (0, None));
    assert!(CheckModuleResponse::decode(&answer.body[5..]).unwrap().allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_is_refused_before_it_is_inflated_whole() {
    let mut server = start().await;
    let mut bomb = gzip(&vec![0; 4 << 20]);
    // Whoever reads up to the end finds that it is not what was compressed.
    let sum = bomb.len() - 8;
    bomb[sum] ^= 1;
    assert!(bomb.len() < 8 << 10, "{} bytes", bomb.len());
    for (path, _) in METHODS {
        let body = framed(true, &bomb);
        let refused = raw::call(&server.running.address, path, &SENDS_GZIP, body).await;
        let told = (refused.grpc_status, &*refused.reason);
        assert_eq!(told, (Code::ResourceExhausted, "MALFORMED_REQUEST"), "{path}");
    }
    assert!(server.check(1, "finance").await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_much_is_told_how_much_this_method_takes() {
    let server = start().await;
    for (path, most) in METHODS {
        let body = framed(false, &vec![0; most + 1]);
        let refused = raw::call(&server.running.address, path, &[], body).await;
        let told = (refused.grpc_status, &*refused.reason);
        assert_eq!(told, (Code::InvalidArgument, "MALFORMED_REQUEST"), "{path}");
        let bound = format!("larger than {most} bytes");
        assert!(refused.message.ends_with(&bound), "{path}: {}", refused.message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_decompressed_is_refused_with_what_can() {
    let server = start().await;
    let message = check_request(1, "finance").encode_to_vec();
    let mut damaged = gzip(&message);
    let sum = damaged.len() - 8;
    damaged[sum] ^= 1;
    for (flag, body) in [(true, &damaged[..]), (true, &damaged[..9]), (true, b"not gzip")] {
        let body = framed(flag, body);
        let refused = raw::call(&server.running.address, CHECK, &SENDS_GZIP, body).await;
        let told = (refused.grpc_status, &*refused.reason);
        assert_eq!(told, (Code::InvalidArgument, "MALFORMED_REQUEST"));
    }
    for (path, _) in METHODS {
        let headers = [("grpc-encoding", "snappy")];
        let body = framed(true, &message);
        let refused = raw::call(&server.running.address, path, &headers, body).await;
        assert_eq!(refused.grpc_status, Code::Unimplemented);
        assert_eq!(refused.headers["grpc-accept-encoding"], "gzip,identity");
    }
    // A call that could be compressed need not be.
    let body = framed(false, &message);
    let answer = raw::call(&server.running.address, CHECK, &SENDS_GZIP, body).await;
    assert_eq!(answer.grpc_status, Code::Ok);
}
