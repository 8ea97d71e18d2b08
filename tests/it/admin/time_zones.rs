//! SetTimeZone.

use entitlementd::{
    domain::Role,
    proto::v1::{
        DeleteTenantRequest, ExplainLimitRequest, GetTenantRequest, MonthTimeZone,
        PreviewFeatureChangeRequest, SetTimeZoneRequest, TenantTimeZone, TimeZoneChange,
        preview_feature_change_request::Change, preview_feature_change_response,
    },
};
use tonic::{Code, Status};

use super::{Admin, features::both};
use crate::harness::{
    id,
    server::{field_violations, reason_of},
};

fn to(zone: &str) -> SetTimeZoneRequest {
    SetTimeZoneRequest { tenant: "tenant-1".into(), time_zone: zone.into(), ..Default::default() }
}

impl Admin {
    async fn set_zone(&mut self, request: SetTimeZoneRequest) -> Result<TimeZoneChange, Status> {
        let request = self.by(Role::Operator, request);
        Ok(self.features.set_time_zone(request).await?.into_inner().change.unwrap())
    }

    async fn preview_zone(&mut self, zone: &str) -> TimeZoneChange {
        let change = Some(Change::SetTimeZone(to(zone)));
        let request = self.by(Role::Viewer, PreviewFeatureChangeRequest { change });
        let answer = self.features.preview_feature_change(request).await.unwrap().into_inner();
        match answer.change {
            Some(preview_feature_change_response::Change::TimeZone(change)) => change,
            other => panic!("{other:?}"),
        }
    }

    async fn shown(&mut self) -> TenantTimeZone {
        let request = self.by(Role::Viewer, GetTenantRequest { tenant: id(1) });
        self.client.get_tenant(request).await.unwrap().into_inner().time_zone.unwrap()
    }

    async fn stored(&self) -> i64 {
        let rows = "SELECT count(*) AS n FROM entitlement_time_zones";
        self.server.database.one(rows).await.try_get("", "n").unwrap()
    }
}

/// A month, when it begins, and in which zone; that is the tenant's own.
fn month(month: &str, starts_at: &str, zone: &str, is_own: bool) -> MonthTimeZone {
    let starts_at: chrono::DateTime<chrono::Utc> = starts_at.parse().unwrap();
    MonthTimeZone {
        month: month.into(),
        starts_at: Some(prost_types::Timestamp { seconds: starts_at.timestamp(), nanos: 0 }),
        time_zone: zone.into(),
        is_own,
    }
}

/// What holds in November, and what comes in December.
fn november(zone: &str, next: Option<MonthTimeZone>) -> TenantTimeZone {
    let present = month("2026-11", "2026-11-01T00:00:00Z", zone, zone != "UTC");
    TenantTimeZone { present: Some(present), next }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_holds_from_the_next_month_on_and_is_recorded_and_done_once() {
    for mut admin in both().await {
        let kolkata = month("2026-12", "2026-11-30T18:30:00Z", "Asia/Kolkata", true);
        assert_eq!(admin.shown().await, november("UTC", None));
        let preview = admin.preview_zone("Asia/Kolkata").await;
        assert_eq!(preview.before, Some(november("UTC", None)));
        assert_eq!(preview.after, Some(november("UTC", Some(kolkata.clone()))));
        assert_eq!((admin.stored().await, admin.shown().await), (0, november("UTC", None)));

        let request = SetTimeZoneRequest {
            reason: "they moved".into(),
            request_id: "zone-1".into(),
            ..to("Asia/Kolkata")
        };
        let change = admin.set_zone(request.clone()).await.unwrap();
        assert_eq!(change.tenant_id, id(1));
        assert_eq!((&change.before, &change.after), (&preview.before, &preview.after));
        assert!(change.revision > preview.revision, "{change:?}");
        assert_eq!(admin.shown().await, november("UTC", Some(kolkata)));
        let event = admin.newest_event().await;
        assert_eq!((event.action.as_str(), event.reason.as_str()), ("SetTimeZone", "they moved"));
        assert_eq!((event.tenant_id.as_str(), event.subject.as_str()), (&*id(1), "tenant-1"));
        assert!(event.before.is_some() && event.after.is_some());

        // Under its id it is done once, and told as the first time.
        assert_eq!(admin.set_zone(request.clone()).await.unwrap(), change);
        assert_eq!(admin.newest_event().await, event);
        let other = SetTimeZoneRequest { time_zone: "Europe/Paris".into(), ..request };
        let reused = admin.set_zone(other).await.unwrap_err();
        assert_eq!(reason_of(&reused), "REQUEST_ID_REUSED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_not_begun_is_replaced_or_taken_back_and_what_has_begun_stays() {
    for mut admin in both().await {
        admin.set_zone(to("Asia/Kolkata")).await.unwrap();
        let paris = month("2026-12", "2026-11-30T23:00:00Z", "Europe/Paris", true);
        let change = admin.set_zone(to("Europe/Paris")).await.unwrap();
        assert_eq!(change.after.unwrap(), november("UTC", Some(paris)));
        assert_eq!(admin.stored().await, 1);
        // Back to what holds: nothing is to come.
        let change = admin.set_zone(to("")).await.unwrap();
        assert_eq!((change.after.unwrap(), admin.stored().await), (november("UTC", None), 0));
        // Once more changes nothing, and no revision.
        let again = admin.set_zone(to("")).await.unwrap();
        assert_eq!((again.before, again.revision), (again.after.clone(), change.revision));

        admin.set_zone(to("Europe/Paris")).await.unwrap();
        // Into December.
        admin.server.advance(30 * 86_400);
        let holds = admin.shown().await;
        let present = month("2026-12", "2026-11-30T23:00:00Z", "Europe/Paris", true);
        assert_eq!(holds, TenantTimeZone { present: Some(present.clone()), next: None });
        let change = admin.set_zone(to("")).await.unwrap();
        let back = month("2027-01", "2027-01-01T00:00:00Z", "UTC", false);
        let after = TenantTimeZone { present: Some(present), next: Some(back) };
        assert_eq!((change.after, admin.stored().await), (Some(after), 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_why_is_told_the_zone_of_the_month_and_a_deleted_tenant_leaves_none() {
    for mut admin in both().await {
        admin.set_zone(to("Asia/Kolkata")).await.unwrap();
        let counter = format!(
            "INSERT INTO entitlement_usage_counters VALUES ({}, 'transactions_monthly', '2026-11', 3, 0)",
            admin.server.database.uuid(&id(1))
        );
        admin.server.database.execute(&counter).await;
        let explained = async |admin: &mut Admin, at: Option<&str>| {
            let at: Option<chrono::DateTime<chrono::Utc>> = at.map(|at| at.parse().unwrap());
            let seconds = at.map(|at| at.timestamp());
            let request = ExplainLimitRequest {
                tenant: id(1),
                limit_key: "transactions_monthly".into(),
                at: seconds.map(|seconds| prost_types::Timestamp { seconds, nanos: 0 }),
                ..Default::default()
            };
            admin.server.client.explain_limit(request).await.unwrap().into_inner().usage.unwrap()
        };
        let usage = explained(&mut admin, None).await;
        let kolkata = month("2026-12", "2026-11-30T18:30:00Z", "Asia/Kolkata", true);
        assert_eq!((usage.period.as_str(), usage.used), ("2026-11", 3));
        assert_eq!(usage.resets_at, kolkata.starts_at);
        assert_eq!(usage.time_zone, Some(november("UTC", Some(kolkata.clone()))));
        let usage = explained(&mut admin, Some("2026-11-30T18:30:00Z")).await;
        assert_eq!((usage.period.as_str(), usage.used), ("2026-12", 0));
        let there = TenantTimeZone { present: Some(kolkata), next: None };
        assert_eq!(usage.time_zone, Some(there));

        admin.server.database.set_status(1, "cancelled").await;
        let request = DeleteTenantRequest {
            tenant: id(1),
            name: "Tenant 1".into(),
            keep_schema: true,
            ..Default::default()
        };
        let request = admin.by(Role::Owner, request);
        admin.client.delete_tenant(request).await.unwrap();
        assert_eq!(admin.stored().await, 0);
        let unknown = admin.set_zone(to("UTC")).await.unwrap_err();
        assert_eq!(reason_of(&unknown), "TENANT_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_operators_set_zones_and_only_such_as_there_are() {
    for mut admin in both().await {
        let denied =
            admin.features.set_time_zone(admin.by(Role::Viewer, to("UTC"))).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        for name in ["Mars/Phobos", "asia/kolkata", "+05:30", " UTC"] {
            let refused = admin.set_zone(to(name)).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{name}");
            assert_eq!(field_violations(&refused), ["time_zone"], "{name}");
        }
        assert_eq!(admin.stored().await, 0);
    }
}
