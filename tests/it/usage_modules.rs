//! A caller that is restricted to modules takes and gives back nothing under the keys of others.

use chrono::TimeDelta;
use entitlementd::proto::v1::{
    AcquireUsageLeaseRequest, ExplainLimitRequest, ReconcileUsageRequest, ReleaseUsageRequest,
    ReserveUsageRequest, SettleUsageLeaseRequest, UsageEvent, UsageOutcome as Outcome,
    entitlement_service_client::EntitlementServiceClient,
};
use tonic::{Code, Request, Response, Status};

use crate::{
    callers::callers,
    harness::{
        Database, Row, Server, id, reason_of,
        server::{NOW, connect},
    },
    usage::{Client, ORDERS, USERS, client, mk_customer, order, timestamp},
    usage_recorded::{Recorder, event},
};

const FILE: [(&str, &str); 3] = [
    (
        "till",
        "services = [\"usage\", \"usage-corrections\", \"entitlement\"]\nmodules = [\"finance\"]",
    ),
    ("office", "services = [\"usage\"]\nmodules = [\"hrms\"]"),
    ("all", "services = [\"usage\", \"entitlement\"]"),
];

fn by<T>(caller: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {caller}").parse().unwrap());
    request
}

fn of(module: &str, key: &str, hold: Option<i64>) -> ReserveUsageRequest {
    let hold_for = hold.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    ReserveUsageRequest { module_code: module.into(), hold_for, ..order(key, 1) }
}

fn give_back(key: &str) -> ReleaseUsageRequest {
    let (tenant_id, meter, key) = (id(1), ORDERS.to_owned(), key.to_owned());
    ReleaseUsageRequest { tenant_id, meter, key, only_held: false }
}

fn is_refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) {
    let status = answer.unwrap_err();
    let said = (status.code(), reason_of(&status));
    assert_eq!(said, (Code::PermissionDenied, "CALLER_NOT_ALLOWED".into()));
}

async fn started(database: Database) -> (Server, Client, tempfile::NamedTempFile) {
    mk_customer(&database).await;
    database.mk_subscription(1, "hrms", Row::default()).await;
    database.limit_of_plan("starter", "max_transactions_monthly", "NULL").await;
    let callers = callers(&FILE);
    let flags = [
        "--changes",
        "off",
        "--enforce-limits",
        "on",
        "--callers-file",
        callers.path().to_str().unwrap(),
    ];
    let server = Server::start_with(database, &flags).await;
    let client = client(&server).await;
    (server, client, callers)
}

async fn on_both() -> [(Server, Client, tempfile::NamedTempFile); 2] {
    [started(Database::sqlite().await).await, started(Database::postgres().await).await]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_for_another_module_is_neither_given_back_nor_taken_for_good() {
    for (server, mut client, _callers) in on_both().await {
        let held = client.reserve_usage(by("office", of("hrms", "h-1", Some(60)))).await.unwrap();
        assert!(held.into_inner().granted);
        is_refused(client.release_usage(by("till", give_back("h-1"))).await);
        is_refused(client.reserve_usage(by("till", of("", "h-1", None))).await);
        is_refused(client.reserve_usage(by("till", of("finance", "h-1", None))).await);
        let mut till = Recorder::open_as(&mut client, Some("till")).await.unwrap();
        let in_finance =
            |key: &str, amount| UsageEvent { module_code: "finance".into(), ..event(key, amount) };
        let correction = UsageEvent { corrects_key: "h-1".into(), ..in_finance("c-1", -1) };
        let outcomes =
            till.record(vec![in_finance("h-1", 1), correction, in_finance("f-1", 1)]).await;
        assert_eq!(outcomes, [Outcome::NotAllowed, Outcome::NotAllowed, Outcome::Counted]);
        let given_back = client.release_usage(by("office", give_back("h-1"))).await.unwrap();
        assert_eq!(given_back.into_inner().released_amount, 1, "nothing has become of it");
        server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_of_another_module_is_its_holders() {
    for (server, mut client, _callers) in on_both().await {
        let (tenant_id, meter, lease_id) = (id(1), ORDERS.to_owned(), "l-1".to_owned());
        let lease = AcquireUsageLeaseRequest {
            wanted: 10,
            ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            holder: "desk".into(),
            module_code: "hrms".into(),
            tenant_id: tenant_id.clone(),
            meter: meter.clone(),
            lease_id: lease_id.clone(),
            ..Default::default()
        };
        let settlement =
            SettleUsageLeaseRequest { tenant_id, meter, lease_id, spent_amount: 3, r#final: true };
        assert_eq!(
            client
                .acquire_usage_lease(by("office", lease.clone()))
                .await
                .unwrap()
                .into_inner()
                .granted_amount,
            10
        );
        let as_its_own = AcquireUsageLeaseRequest { module_code: "finance".into(), ..lease };
        is_refused(client.acquire_usage_lease(by("till", as_its_own)).await);
        is_refused(client.settle_usage_lease(by("till", settlement.clone())).await);
        let settled = client.settle_usage_lease(by("office", settlement)).await.unwrap();
        assert_eq!(settled.into_inner().spent_amount, 3);
        server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_own_modules_the_tenants_own_and_renamed_ones_are_open_to_it() {
    for (server, mut client, _callers) in on_both().await {
        for (caller, module, key) in [("till", "finance", "f-1"), ("all", "", "own")] {
            assert!(
                client
                    .reserve_usage(by(caller, of(module, key, None)))
                    .await
                    .unwrap()
                    .into_inner()
                    .granted
            );
        }
        server
            .database
            .execute(
                "INSERT INTO entitlement_module_aliases (alias, module_id) SELECT 'finance', id FROM modules WHERE code = 'finance';
                 UPDATE modules SET code = 'books' WHERE code = 'finance'",
            )
            .await;
        for key in ["f-1", "own"] {
            let given_back = client.release_usage(by("till", give_back(key))).await.unwrap();
            assert_eq!(given_back.into_inner().released_amount, 1, "{key}");
        }
        server.database.verify_usage().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_is_put_right_by_who_may_count_for_all_modules() {
    for (_server, mut client, _callers) in on_both().await {
        let request = ReconcileUsageRequest {
            tenant_id: id(1),
            meter: USERS.into(),
            as_of: Some(timestamp(NOW)),
            ..Default::default()
        };
        is_refused(client.reconcile_usage(by("till", request.clone())).await);
        client.reconcile_usage(by("all", request)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_a_limit_is_reached_is_told_without_the_keys_of_other_modules() {
    for (server, mut client, _callers) in on_both().await {
        for (module, key) in [("finance", "f-1"), ("hrms", "h-1"), ("", "own")] {
            assert!(
                client
                    .reserve_usage(by("all", of(module, key, None)))
                    .await
                    .unwrap()
                    .into_inner()
                    .granted
            );
        }
        // More than are shown.
        server.database.limit_of_plan("starter", "max_transactions_monthly", "NULL").await;
        server.clock.advance(TimeDelta::seconds(1));
        for number in 10..40 {
            let request = of("hrms", &format!("h-{number}"), None);
            assert!(client.reserve_usage(by("all", request)).await.unwrap().into_inner().granted);
        }
        server.database.limit_of_plan("starter", "max_transactions_monthly", "0").await;
        for (module, key) in [("finance", "f-2"), ("hrms", "h-2")] {
            assert!(
                !client
                    .reserve_usage(by("all", of(module, key, None)))
                    .await
                    .unwrap()
                    .into_inner()
                    .granted
            );
        }
        let mut entitlements =
            EntitlementServiceClient::new(connect(&server.running.address).await);
        let mut keys = async |caller| {
            let why = ExplainLimitRequest {
                tenant: id(1),
                limit_key: ORDERS.into(),
                ..Default::default()
            };
            let told = entitlements.explain_limit(by(caller, why)).await.unwrap().into_inner();
            let usage = told.usage.unwrap();
            let refused = usage.refusals.into_iter().map(|it| it.key);
            let mut keys: Vec<_> = usage.keys.into_iter().map(|it| it.key).chain(refused).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys("till").await, ["f-1", "f-2", "own"]);
        let all = keys("all").await;
        assert_eq!(all.len(), 22);
        assert!(all.iter().all(|key| key.starts_with("h-") || key == "f-2"), "{all:?}");
    }
}
