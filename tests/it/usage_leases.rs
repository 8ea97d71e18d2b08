//! Leases: slices that are taken before they are spent.

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::proto::v1::{
    AcquireUsageLeaseRequest, AcquireUsageLeaseResponse, LimitReason, SettleUsageLeaseRequest,
    SettleUsageLeaseResponse, UnsettledRule,
};
use tonic::Code;

use crate::{
    harness::{Database, NOW, Server, field_violations, id, reason_of},
    on_both,
    usage::{Client, ORDERS, USERS, order, release, reserve, started},
};

fn lease(name: &str, wanted: i64) -> AcquireUsageLeaseRequest {
    AcquireUsageLeaseRequest {
        tenant_id: id(1),
        meter: ORDERS.into(),
        lease_id: name.into(),
        wanted,
        ttl: Some(seconds(60)),
        holder: "till-7".into(),
        ..Default::default()
    }
}

fn returned(name: &str, wanted: i64) -> AcquireUsageLeaseRequest {
    AcquireUsageLeaseRequest { unsettled: UnsettledRule::Returned.into(), ..lease(name, wanted) }
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

async fn acquire(
    client: &mut Client,
    request: AcquireUsageLeaseRequest,
) -> AcquireUsageLeaseResponse {
    client.acquire_usage_lease(request).await.unwrap().into_inner()
}

fn settlement(name: &str, spent: i64, is_final: bool) -> SettleUsageLeaseRequest {
    SettleUsageLeaseRequest {
        tenant_id: id(1),
        meter: ORDERS.into(),
        lease_id: name.into(),
        spent_amount: spent,
        r#final: is_final,
    }
}

/// What is counted as spent, what is free by it, and what is used and held afterwards.
async fn settle(client: &mut Client, name: &str, spent: i64, is_final: bool) -> [i64; 4] {
    let request = settlement(name, spent, is_final);
    let SettleUsageLeaseResponse { spent_amount, returned_amount, state } =
        client.settle_usage_lease(request).await.unwrap().into_inner();
    let state = state.unwrap();
    [spent_amount, returned_amount, state.used, state.held]
}

/// What is used and held.
async fn counted(client: &mut Client) -> (i64, i64) {
    let state = release(client, ORDERS, "nothing").await.state.unwrap();
    (state.used, state.held)
}

async fn thousand(server: &Server) {
    server.database.limit_of_plan("starter", "max_transactions_monthly", "1000").await;
}

on_both! {
    async fn a_slice_is_taken_before_it_is_spent_and_the_rest_is_given_back(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        let first = acquire(&mut client, lease("l-1", 100)).await;
        assert_eq!((first.granted_amount, first.ttl, first.repeated_request), (100, Some(seconds(60)), false));
        assert_eq!(counted(&mut client).await, (0, 100));
        server.advance(20);
        let again = acquire(&mut client, lease("l-1", 100)).await;
        assert_eq!((again.granted_amount, again.ttl, again.repeated_request), (100, Some(seconds(40)), true));

        assert_eq!(settle(&mut client, "l-1", 30, false).await, [30, 0, 30, 70]);
        assert_eq!(settle(&mut client, "l-1", 20, false).await, [30, 0, 30, 70], "what is spent stays spent");
        assert_eq!(settle(&mut client, "l-1", 45, true).await, [45, 55, 45, 0]);
        assert_eq!(settle(&mut client, "l-1", 45, true).await, [45, 0, 45, 0], "once");
        assert_eq!(settle(&mut client, "l-1", 10, true).await, [45, 0, 45, 0], "its holder has said so");
        server.database.verify_usage().await;
    }

    async fn little_is_leased_of_little_and_nothing_of_the_last(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        let mut granted = Vec::new();
        for number in 0..7 {
            granted.push(acquire(&mut client, lease(&format!("l-{number}"), 10_000)).await.granted_amount);
        }
        // Half of what is left by 0 others, a quarter by one, a sixth by two.
        assert_eq!(granted, [500, 125, 62, 39, 27, 20, 16]);
        assert!(reserve(&mut client, order("o-1", 180)).await.granted);
        let nothing = acquire(&mut client, lease("l-9", 10)).await;
        assert_eq!((nothing.granted_amount, nothing.ttl), (0, None));
        assert_eq!(nothing.state.unwrap().reason(), LimitReason::Within, "one by one there is some");
        assert!(reserve(&mut client, order("o-2", 31)).await.granted);
        let nothing = acquire(&mut client, lease("l-9", 10)).await;
        assert_eq!(nothing.state.unwrap().reason(), LimitReason::Exceeded);
        server.database.verify_usage().await;
    }

    async fn what_is_not_settled_in_time_is_spent_until_its_holder_says_otherwise(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        acquire(&mut client, lease("lost", 100)).await;
        acquire(&mut client, lease("late", 100)).await;
        settle(&mut client, "lost", 10, false).await;
        server.advance(59);
        assert_eq!(counted(&mut client).await, (10, 190));
        server.advance(1);
        assert_eq!(counted(&mut client).await, (200, 0));
        assert_eq!(settle(&mut client, "late", 30, false).await, [100, 0, 200, 0], "it is not over for its holder");
        assert_eq!(settle(&mut client, "late", 30, true).await, [30, 70, 130, 0]);
        let over = client.acquire_usage_lease(lease("lost", 100)).await.unwrap_err();
        assert_eq!((over.code(), reason_of(&over)), (Code::AlreadyExists, "USAGE_KEY_CONFLICT".into()));
        server.database.verify_usage().await;
    }

    async fn what_its_holder_wants_back_returns_by_itself(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        acquire(&mut client, returned("lost", 100)).await;
        settle(&mut client, "lost", 10, false).await;
        server.advance(60);
        assert_eq!(counted(&mut client).await, (10, 0));
        // It did spend more, and says so at last.
        assert_eq!(settle(&mut client, "lost", 25, true).await, [25, 0, 25, 0]);
        server.database.verify_usage().await;
    }

    async fn a_lease_ends_with_its_month_and_is_settled_there(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        let end: DateTime<Utc> = "2026-12-01T00:00:00Z".parse().unwrap();
        server.clock.advance(end - NOW - TimeDelta::seconds(20));
        assert_eq!(acquire(&mut client, lease("l-1", 100)).await.ttl, Some(seconds(20)));
        assert_eq!(acquire(&mut client, lease("l-2", 100)).await.ttl, Some(seconds(20)));
        server.advance(15);
        assert_eq!(settle(&mut client, "l-1", 40, false).await, [40, 0, 40, 160]);
        server.advance(15);
        // November is over: what it did not say by then stays spent.
        assert_eq!(settle(&mut client, "l-2", 40, true).await, [100, 0, 0, 0]);
        let november = "SELECT used FROM entitlement_usage_counters WHERE period = '2026-11'";
        let used: i64 = server.database.one(november).await.try_get("", "used").unwrap();
        assert_eq!(used, 200);
        server.database.verify_usage().await;
    }

    async fn a_lease_is_its_holders_and_no_reservation(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        acquire(&mut client, lease("l-1", 100)).await;
        let others = AcquireUsageLeaseRequest { holder: "till-8".into(), ..lease("l-1", 100) };
        let more = lease("l-1", 101);
        for request in [others, more] {
            assert_eq!(client.acquire_usage_lease(request).await.unwrap_err().code(), Code::AlreadyExists);
        }
        assert_eq!(client.reserve_usage(order("l-1", 100)).await.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(release(&mut client, ORDERS, "l-1").await.released_amount, 0);
        assert!(reserve(&mut client, order("o-1", 5)).await.granted);
        for name in ["o-1", "nothing"] {
            let error = client.settle_usage_lease(settlement(name, 1, true)).await.unwrap_err();
            assert_eq!((error.code(), reason_of(&error)), (Code::NotFound, "LEASE_NOT_FOUND".into()), "{name}");
        }
        let too_much = client.settle_usage_lease(settlement("l-1", 101, true)).await.unwrap_err();
        assert_eq!(field_violations(&too_much), ["spent_amount"]);
        let unheard_of = SettleUsageLeaseRequest { meter: "stars".into(), ..settlement("l-1", 1, true) };
        assert_eq!(client.settle_usage_lease(unheard_of).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(counted(&mut client).await, (5, 100));
        server.database.verify_usage().await;
    }

    async fn bad_fields_of_leases_are_all_named(server: Server) {
        let (_server, mut client) = started(server.database.again().await, &[]).await;
        let nothing = client.acquire_usage_lease(AcquireUsageLeaseRequest::default()).await.unwrap_err();
        assert_eq!(field_violations(&nothing), ["tenant_id", "meter", "lease_id", "holder", "wanted", "ttl"]);
        for wrong in [4, 601] {
            let request = AcquireUsageLeaseRequest { ttl: Some(seconds(wrong)), ..lease("l-1", 1) };
            assert_eq!(field_violations(&client.acquire_usage_lease(request).await.unwrap_err()), ["ttl"]);
        }
        let negative = client.settle_usage_lease(settlement("l-1", -1, true)).await.unwrap_err();
        assert_eq!(field_violations(&negative), ["spent_amount"]);
    }

    async fn a_suspended_tenant_leases_nothing_and_settles_what_it_has(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        thousand(&server).await;
        acquire(&mut client, lease("l-1", 100)).await;
        server.database.execute("UPDATE tenants SET status = 'suspended'").await;
        server.advance(301);
        let refused = acquire(&mut client, lease("l-2", 100)).await;
        assert_eq!((refused.granted_amount, refused.state.unwrap().reason()), (0, LimitReason::TenantDenied));
        assert_eq!(settle(&mut client, "l-1", 40, true).await, [40, 60, 40, 0]);
    }

    async fn a_level_is_a_set_of_things_and_not_leased(server: Server) {
        let (_server, mut client) = started(server.database.again().await, &[]).await;
        let of_users = AcquireUsageLeaseRequest { meter: USERS.into(), ..returned("l-1", 10) };
        let refused = client.acquire_usage_lease(of_users).await.unwrap_err();
        assert_eq!((refused.code(), reason_of(&refused)), (Code::FailedPrecondition, "NOT_MONTHLY".into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_lease_and_reserve_at_once_is_never_beyond_the_limit() {
    let (server, client) = started(Database::postgres().await, &[]).await;
    thousand(&server).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let mut client = client.clone();
        tasks.spawn(async move {
            if number % 2 == 0 {
                acquire(&mut client, lease(&format!("l-{number}"), 50)).await.granted_amount
            } else {
                reserve(&mut client, order(&format!("o-{number}"), 40)).await.granted_amount
            }
        });
    }
    let taken: i64 = tasks.join_all().await.into_iter().sum();
    let mut client = client;
    let (used, held) = counted(&mut client).await;
    assert!(taken <= 1000 && used + held == taken, "{taken} {used} {held}");
    server.database.verify_usage().await;
}
