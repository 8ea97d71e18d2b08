//! What administrators ask, and how checks go meanwhile.

use entitlementd::{
    domain::Role,
    proto::v1::{ListModulesRequest, ListTenantsRequest},
};
use futures_util::future::join_all;
use tonic::Code;

use super::Admin;
use crate::harness::{Database, Row, server::check_request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_of_an_administrator_that_cannot_work_costs_no_check() {
    const TENANTS: u32 = 40;
    for database in [Database::postgres().await, Database::sqlite().await] {
        for tenant in 0..TENANTS {
            database.mk_tenant(tenant, &format!("t{tenant}"), "active").await;
        }
        database.mk_subscription(0, "finance", Row::default()).await;
        database.execute("ALTER TABLE modules DROP COLUMN price_monthly").await;
        let mut admin = Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await;
        for first in (0..TENANTS).step_by(10) {
            let request = admin.by(Role::Viewer, ListModulesRequest::default());
            let error = admin.client.list_modules(request).await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
            // None of them is held, and all are asked for at once.
            let checks = (first..first + 10).map(|tenant| {
                let mut client = admin.server.client.clone();
                async move { client.check_module(check_request(tenant, "finance")).await.unwrap().into_inner().allowed }
            });
            let allowed = join_all(checks).await;
            assert_eq!(allowed.iter().filter(|allowed| **allowed).count(), usize::from(first == 0));
        }
        let request = admin.by(Role::Viewer, ListTenantsRequest::default());
        admin.client.list_tenants(request).await.unwrap();
    }
}
