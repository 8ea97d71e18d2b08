//! The record: ListAuditEvents, and requests that come twice.

use entitlementd::{
    domain::Role,
    proto::v1::{
        AuditEvent, EnableModulesRequest, ListAuditEventsRequest, ListAuditEventsResponse,
        SetTenantStatusRequest, TenantStatus, preview_change_request::Change,
    },
};
use futures_util::future::join_all;
use prost_types::{Struct, Timestamp, value::Kind};
use sea_orm::ConnectionTrait;
use tonic::{Code, Status};

use super::{
    Admin,
    mutate::{disabling, enabling, status},
};
use crate::harness::{
    Database, NOW, Row, id,
    server::{field_violations, reason_of},
};

async fn events(
    admin: &mut Admin,
    request: ListAuditEventsRequest,
) -> Result<ListAuditEventsResponse, Status> {
    events_as(admin, Role::Operator, request).await
}

async fn events_as(
    admin: &mut Admin,
    role: Role,
    request: ListAuditEventsRequest,
) -> Result<ListAuditEventsResponse, Status> {
    let request = admin.by(role, request);
    admin.client.list_audit_events(request).await.map(tonic::Response::into_inner)
}

async fn all_events(admin: &mut Admin) -> Vec<AuditEvent> {
    events(admin, ListAuditEventsRequest::default()).await.unwrap().events
}

fn actions(events: &[AuditEvent]) -> Vec<&str> {
    events.iter().map(|event| event.action.as_str()).collect()
}

fn text<'a>(structure: Option<&'a Struct>, field: &str) -> &'a str {
    match &structure.unwrap().fields[field].kind {
        Some(Kind::StringValue(text)) => text,
        other => panic!("{field}: {other:?}"),
    }
}

async fn admin_of(database: Database) -> Admin {
    database.mk_subscribed(1, "oms_fulfillment", Row::default()).await;
    Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_recorded_with_who_when_what_and_why() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = admin_of(database).await;
        admin
            .enable(EnableModulesRequest { request_id: "r-1".into(), ..enabling(&["finance"]) })
            .await
            .unwrap();
        admin.server.advance(60);
        admin.set_status(status(TenantStatus::Suspended)).await.unwrap();
        admin.disable(disabling(&["finance"])).await.unwrap();
        // What is refused, previewed or not admitted is not done, and so not recorded.
        admin.disable(disabling(&["nope"])).await.unwrap_err();
        admin.preview(Change::Disable(disabling(&["oms_fulfillment"]))).await.unwrap();

        let found = all_events(&mut admin).await;
        assert_eq!(actions(&found), ["DisableModules", "SetTenantStatus", "EnableModules"]);
        let suspended = &found[1];
        assert_eq!(
            (suspended.actor.as_str(), suspended.actor_kind.as_str()),
            ("operator", "token")
        );
        assert_eq!(
            (suspended.tenant_id.as_str(), suspended.subject.as_str()),
            (id(1).as_str(), "tenant-1")
        );
        assert_eq!(suspended.reason, "the invoice is unpaid");
        assert_eq!(suspended.made_at, Some(Timestamp { seconds: NOW.timestamp() + 60, nanos: 0 }));
        assert_eq!(
            (text(suspended.before.as_ref(), "status"), text(suspended.after.as_ref(), "status")),
            ("active", "suspended")
        );
        assert_eq!(text(suspended.request.as_ref(), "status"), "suspended");
        assert_eq!(
            (found[2].request_id.as_str(), text(found[2].after.as_ref(), "price_monthly")),
            ("r-1", "22998.00")
        );
        assert!(found[0].id > found[1].id && found[1].id > found[2].id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_is_read_by_tenant_actor_and_time_page_by_page() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_subscribed(2, "oms_fulfillment", Row::default()).await;
        let mut admin = admin_of(database).await;
        for module in ["finance", "hrms", "marketing"] {
            admin.enable(enabling(&[module])).await.unwrap();
            admin.server.advance(10);
        }
        let other = EnableModulesRequest { tenant: "tenant-2".into(), ..enabling(&["finance"]) };
        let by_owner = admin.by(Role::Owner, other);
        admin.client.enable_modules(by_owner).await.unwrap();

        let of_one =
            ListAuditEventsRequest { tenant_id: id(1), page_size: 2, ..Default::default() };
        let page = events(&mut admin, of_one.clone()).await.unwrap();
        assert_eq!(page.events.len(), 2);
        let rest = ListAuditEventsRequest { page_token: page.next_page_token, ..of_one };
        let rest = events(&mut admin, rest).await.unwrap();
        assert_eq!((rest.events.len(), rest.next_page_token.as_str()), (1, ""));

        let by_owner = ListAuditEventsRequest { actor: "owner".into(), ..Default::default() };
        let found = events(&mut admin, by_owner).await.unwrap().events;
        assert_eq!(
            found.iter().map(|event| event.subject.as_str()).collect::<Vec<_>>(),
            ["tenant-2"]
        );
        let at = |seconds: i64| Some(Timestamp { seconds: NOW.timestamp() + seconds, nanos: 0 });
        let between = ListAuditEventsRequest { since: at(10), until: at(30), ..Default::default() };
        assert_eq!(events(&mut admin, between).await.unwrap().events.len(), 2);

        let bad = ListAuditEventsRequest {
            tenant_id: "x".into(),
            page_size: -1,
            page_token: "x".into(),
            ..Default::default()
        };
        let error = events(&mut admin, bad).await.unwrap_err();
        assert_eq!(field_violations(&error), ["tenant_id", "page_token", "page_size"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_of_the_record_is_changed_or_removed() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let is_sqlite = database.is_sqlite();
        let mut admin = admin_of(database).await;
        admin.enable(enabling(&["finance"])).await.unwrap();
        let before = all_events(&mut admin).await;
        let mut attempts =
            vec!["UPDATE entitlement_audit SET actor = 'nobody'", "DELETE FROM entitlement_audit"];
        attempts.extend(if is_sqlite {
            ["INSERT OR REPLACE INTO entitlement_audit (id, made_at, actor_kind, actor, action, subject, request) \
              VALUES (1, '', '', 'nobody', '', '', '')"; 1]
                .as_slice()
        } else {
            ["TRUNCATE entitlement_audit", "SET session_replication_role = replica; DELETE FROM entitlement_audit"]
                .as_slice()
        });
        for attempt in attempts {
            let error =
                admin.server.database.connection.execute_unprepared(attempt).await.unwrap_err();
            assert!(error.to_string().contains("is a record"), "{attempt}: {error}");
        }
        assert_eq!(all_events(&mut admin).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_is_done_once_and_answered_as_it_was() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = admin_of(database).await;
        let request = EnableModulesRequest { request_id: "r-1".into(), ..enabling(&["finance"]) };
        let first = admin.enable(request.clone()).await.unwrap();
        admin.disable(disabling(&["finance"])).await.unwrap();
        admin.server.advance(24 * 3600 - 1);
        let again = admin.enable(request.clone()).await.unwrap();
        assert_eq!(
            (&again.before, &again.after, &again.added_module_codes),
            (&first.before, &first.after, &first.added_module_codes)
        );
        assert!(again.revision > first.revision);
        assert!(
            !admin.server.check(1, "finance").await.allowed,
            "it was disabled since, and stays so"
        );

        let other = EnableModulesRequest { module_codes: vec!["hrms".into()], ..request.clone() };
        let error = admin.enable(other).await.unwrap_err();
        assert_eq!(
            (error.code(), reason_of(&error).as_str()),
            (Code::AlreadyExists, "REQUEST_ID_REUSED")
        );
        let other = entitlementd::proto::v1::DisableModulesRequest {
            request_id: "r-1".into(),
            ..disabling(&["finance"])
        };
        assert_eq!(admin.disable(other).await.unwrap_err().code(), Code::AlreadyExists);

        // A day later it is a new request.
        admin.server.advance(1);
        admin.enable(request).await.unwrap();
        assert_eq!(
            actions(&all_events(&mut admin).await),
            ["EnableModules", "DisableModules", "EnableModules"]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_from_many_clients_at_once_is_done_once() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = admin_of(database).await;
        let request = EnableModulesRequest { request_id: "r-1".into(), ..enabling(&["finance"]) };
        let ask = |number: usize| {
            let (mut client, request) =
                (admin.client.clone(), admin.by(Role::Operator, request.clone()));
            async move {
                (
                    number,
                    client
                        .enable_modules(request)
                        .await
                        .unwrap()
                        .into_inner()
                        .change
                        .unwrap()
                        .after,
                )
            }
        };
        let answers = join_all((0..8).map(ask)).await;
        assert!(answers.iter().all(|(_, after)| *after == answers[0].1));
        assert_eq!(all_events(&mut admin).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_from_another_administrator_is_another_request() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut admin = admin_of(database).await;
        let request =
            SetTenantStatusRequest { request_id: "r-1".into(), ..status(TenantStatus::Suspended) };
        admin.set_status(request.clone()).await.unwrap();
        admin.set_status(status(TenantStatus::Active)).await.unwrap();
        let by_owner = admin.by(Role::Owner, request.clone());
        let answer = admin.client.set_tenant_status(by_owner).await.unwrap().into_inner();
        assert_eq!(answer.change.unwrap().before.unwrap().status, "active");
        // Both have done it once, and each is answered of its own.
        let by_owner = admin.by(Role::Owner, request.clone());
        admin.client.set_tenant_status(by_owner).await.unwrap();
        admin.set_status(request).await.unwrap();
        admin.set_status(status(TenantStatus::Active)).await.unwrap();
        // To its own other request, the id is taken; to another's it is not.
        let other =
            |module: &str| EnableModulesRequest { request_id: "r-2".into(), ..enabling(&[module]) };
        admin.enable(other("finance")).await.unwrap();
        let by_owner = admin.by(Role::Owner, other("hrms"));
        admin.client.enable_modules(by_owner).await.unwrap();
        assert_eq!(reason_of(&admin.enable(other("hrms")).await.unwrap_err()), "REQUEST_ID_REUSED");

        let found = all_events(&mut admin).await;
        let who: Vec<_> = found
            .iter()
            .rev()
            .map(|event| (event.actor.as_str(), event.request_id.as_str()))
            .collect();
        assert_eq!(
            who,
            [
                ("operator", "r-1"),
                ("operator", ""),
                ("owner", "r-1"),
                ("operator", ""),
                ("operator", "r-2"),
                ("owner", "r-2"),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_the_record_without_request_ids() {
    let mut admin = admin_of(Database::sqlite().await).await;
    admin
        .enable(EnableModulesRequest { request_id: "r-1".into(), ..enabling(&["finance"]) })
        .await
        .unwrap();
    for (role, id) in [(Role::Viewer, ""), (Role::Operator, "r-1"), (Role::Owner, "r-1")] {
        let found = events_as(&mut admin, role, ListAuditEventsRequest::default()).await.unwrap();
        assert!(!format!("{found:?}").contains("r-1") || !id.is_empty(), "{found:?}");
        assert_eq!(found.events[0].request_id, id, "{role}");
    }
}
