//! A server of a version that knows neither features nor limits.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use entitlement_client::{Config, Entitlements, Error, OnOutage};
use entitlementd::proto::v1::{
    EnabledModule, Freshness, ListEnabledModulesRequest, ListEnabledModulesResponse, TenantStatus,
};
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::server::TcpIncoming,
};
use tonic_prost::ProstCodec;

use super::tenant;

/// It lists one module, and knows no other method.
#[derive(Clone)]
struct Older;

impl NamedService for Older {
    const NAME: &'static str = "entitlement.v1.EntitlementService";
}

impl UnaryService<ListEnabledModulesRequest> for Older {
    type Response = ListEnabledModulesResponse;
    type Future = Ready<Result<Response<Self::Response>, Status>>;

    fn call(&mut self, _: Request<ListEnabledModulesRequest>) -> Self::Future {
        let module = EnabledModule { code: "finance".into(), ..EnabledModule::default() };
        let max_age = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        ready(Ok(Response::new(ListEnabledModulesResponse {
            modules: vec![module],
            tenant_status: TenantStatus::Active.into(),
            freshness: Some(Freshness { revision: 1, max_age, ..Freshness::default() }),
            ..ListEnabledModulesResponse::default()
        })))
    }
}

impl tower_service::Service<http::Request<Body>> for Older {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path().ends_with("/ListEnabledModules") {
                return Ok(Grpc::new(ProstCodec::default()).unary(Self, request).await);
            }
            Ok(Status::unimplemented("no such method").into_http())
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_older_than_features_is_an_error_that_says_so_and_neither_off_nor_an_outage()
 {
    let listener = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder().add_service(Older);
    tokio::spawn(server.serve_with_incoming(listener));
    let config = Config::new(address.to_string(), OnOutage::Allow).without_watch();
    let (client, one) = (Entitlements::connect(config).unwrap(), tenant(1));
    assert!(client.check(one, "finance").await.unwrap().allowed());
    for error in [
        client.feature(one, "finance", "multi_currency").await.unwrap_err(),
        client.feature(one, "hrms", "payroll").await.unwrap_err(),
        client.limit(one, "users").await.unwrap_err(),
        client.within_limit(one, "users", 0, 1).await.unwrap_err(),
    ] {
        let Error::Refused(status) = &error else { panic!("{error:?}") };
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(error.to_string().contains("older than features"), "{error}");
    }
    let held = client.check_held(one, "finance").unwrap();
    assert!(held.allowed() && !held.is_stale(), "modules are held as before");
}
