//! What administrators ask, and how checks go meanwhile.

use entitlementd::{
    domain::Role,
    proto::v1::{ListModulesRequest, ListTenantsRequest, TenantStatus},
};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, TransactionTrait};
use tonic::Code;

use super::{Admin, mutate::status};
use crate::{
    harness::{Database, Row, server::check_request},
    metrics::SHOWN,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_of_an_administrator_that_cannot_work_costs_no_check() {
    const TENANTS: u32 = 40;
    for database in [Database::postgres().await, Database::sqlite().await] {
        for tenant in 0..TENANTS {
            database.mk_tenant(tenant, &format!("t{tenant}"), "active").await;
        }
        database.mk_subscription(0, "finance", Row::default()).await;
        database.execute("ALTER TABLE modules DROP COLUMN price_monthly").await;
        let mut admin =
            Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await;
        for first in (0..TENANTS).step_by(10) {
            let request = admin.by(Role::Viewer, ListModulesRequest::default());
            let error = admin.client.list_modules(request).await.unwrap_err();
            assert_eq!(error.code(), Code::Unavailable);
            // None of them is held, and all are asked for at once.
            let checks = (first..first + 10).map(|tenant| {
                let mut client = admin.server.client.clone();
                async move {
                    client
                        .check_module(check_request(tenant, "finance"))
                        .await
                        .unwrap()
                        .into_inner()
                        .allowed
                }
            });
            let allowed = join_all(checks).await;
            assert_eq!(allowed.iter().filter(|allowed| **allowed).count(), usize::from(first == 0));
        }
        let request = admin.by(Role::Viewer, ListTenantsRequest::default());
        admin.client.list_tenants(request).await.unwrap();
    }
}

/// The key of the lock that whoever changes the catalogue takes.
const CATALOGUE: i64 = 0x656e_7469_746c_6564 + 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_somebody_holds_stops_no_administrator_unseen() {
    let database = Database::postgres().await;
    database.mk_tenant(1, "tenant-1", "active").await;
    let admin = Admin::of(database, &SHOWN).await;
    // Anybody who can log in may take it.
    let mallory = admin.server.database.again().await.connection.begin().await.unwrap();
    mallory
        .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({CATALOGUE})"))
        .await
        .unwrap();
    let mut client = admin.client.clone();
    let change = admin.by(Role::Operator, status(TenantStatus::Suspended));
    let change = tokio::spawn(async move { client.set_tenant_status(change).await });
    admin.server.until_metrics(|metrics| metrics.of("advisory_lock_waits_total") == 1.0).await;
    assert!(!change.is_finished(), "it waits");
    mallory.rollback().await.unwrap();
    change.await.unwrap().unwrap();
}
