//! CheckModule and BatchCheckModules.

use entitlementd::proto::v1::{BatchCheckModulesRequest, CheckModuleRequest, DecisionReason};
use prost_types::{Duration, Timestamp};

use crate::{
    harness::{Database, Row, Server, id, instant, server::check_request},
    on_both,
};

fn timestamp(seconds_from_now: i64) -> Timestamp {
    Timestamp { seconds: instant(seconds_from_now).timestamp(), nanos: 0 }
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

on_both! {
    async fn every_line_of_the_decision_table_gives_its_reason(server: Server) {
        let rows = [
            ("suspended", Row { status: "suspended", ..Row::default() }, DecisionReason::SubscriptionSuspended),
            ("cancelled", Row { status: "cancelled", ..Row::default() }, DecisionReason::SubscriptionCancelled),
            ("expired", Row { status: "expired", ..Row::default() }, DecisionReason::SubscriptionExpired),
            ("unknown", Row { status: "trial", ..Row::default() }, DecisionReason::SubscriptionInactive),
            ("future", Row { starts: 60, ..Row::default() }, DecisionReason::SubscriptionNotStarted),
            ("past", Row { expires: Some(-60), ..Row::default() }, DecisionReason::SubscriptionExpired),
            ("trial", Row { is_trial: true, trial_ends: Some(-60), ..Row::default() }, DecisionReason::TrialEnded),
            ("no trial", Row { trial_ends: Some(-60), ..Row::default() }, DecisionReason::Enabled),
            ("any case", Row { status: "  Active ", ..Row::default() }, DecisionReason::Enabled),
        ];
        for (number, (_, row, _)) in (1..).zip(rows) {
            server.database.mk_subscribed(number, "finance", row).await;
        }
        for (number, (name, _, reason)) in (1..).zip(rows) {
            let answer = server.check(number, "finance").await;
            assert_eq!(answer.reason(), reason, "{name}");
            assert_eq!(answer.allowed, reason == DecisionReason::Enabled, "{name}");
            assert_eq!(answer.message.is_empty(), answer.allowed, "{name}: {}", answer.message);
        }
        assert_eq!(server.check(99, "finance").await.reason(), DecisionReason::TenantNotFound);
        assert_eq!(server.check(1, "no_such_module").await.reason(), DecisionReason::ModuleNotFound);
        assert_eq!(server.check(1, "hrms").await.reason(), DecisionReason::NotSubscribed);
    }

    async fn only_active_and_pending_tenants_are_served(server: Server) {
        let statuses = [
            ("active", DecisionReason::Enabled),
            ("pending", DecisionReason::Enabled),
            (" ACTIVE", DecisionReason::Enabled),
            ("suspended", DecisionReason::TenantSuspended),
            ("Cancelled", DecisionReason::TenantCancelled),
            ("pending_setup", DecisionReason::TenantNotServed),
            ("failed", DecisionReason::TenantNotServed),
            ("trial", DecisionReason::TenantNotServed),
        ];
        for (number, (status, _)) in (1..).zip(statuses) {
            server.database.mk_subscribed(number, "finance", Row::default()).await;
            server.database.set_status(number, status).await;
        }
        for (number, (status, reason)) in (1..).zip(statuses) {
            assert_eq!(server.check(number, "finance").await.reason(), reason, "{status:?}");
        }
    }

    async fn a_tenants_status_decides_before_the_module_does(server: Server) {
        server.database.mk_tenant(1, "acme", "suspended").await;
        assert_eq!(server.check(1, "no_such_module").await.reason(), DecisionReason::TenantSuspended);
    }

    async fn not_subscribed_names_the_plans_on_sale_cheapest_first(server: Server) {
        server.database.mk_tenant(1, "acme", "active").await;
        server.database.execute("UPDATE plans SET is_active = false WHERE slug = 'professional'").await;
        let answer = server.check_past_the_cache(1, "finance").await;
        assert_eq!(answer.message, "Module 'finance' is not enabled for your account. Please upgrade your subscription.");
        // The catalogue was read at start; the next reading is due once it is too old.
        server.outlive_the_catalogue(300).await;
        let answer = server.check(1, "finance").await;
        assert_eq!(answer.plan_slugs, ["growth", "enterprise"]);
        server.database.execute("UPDATE plans SET price_inr = 1 WHERE slug = 'enterprise'").await;
        server.outlive_the_catalogue(300).await;
        assert_eq!(server.check(1, "finance").await.plan_slugs, ["enterprise", "growth"]);
        assert!(server.check(2, "finance").await.plan_slugs.is_empty(), "an unknown tenant is not sold anything");
    }

    async fn a_module_that_is_no_longer_sold_still_works(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        server.database.execute("UPDATE modules SET is_active = false").await;
        assert!(server.check(1, "finance").await.allowed);
    }

    async fn codes_compare_byte_for_byte(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        for code in ["Finance", " finance", "finance ", "financé"] {
            assert_eq!(server.check(1, code).await.reason(), DecisionReason::ModuleNotFound, "{code:?}");
        }
    }

    async fn tenant_ids_are_read_in_any_case(server: Server) {
        let tenant = server.database.uuid("abcdefab-0000-4000-8000-000000000001");
        let insert = format!(
            "INSERT INTO tenants (id, name, subdomain, database_schema) VALUES ({tenant}, 'A', 'a', 'tenant_a')"
        );
        server.database.execute(&insert).await;
        let request = CheckModuleRequest {
            tenant_id: "ABCDEFAB-0000-4000-8000-000000000001".into(),
            module_code: "finance".into(),
            ..Default::default()
        };
        let answer = server.check_request(request).await.unwrap();
        assert_eq!(answer.reason(), DecisionReason::NotSubscribed);
    }

    async fn time_is_applied_to_what_is_held(server: Server) {
        server.database.mk_subscribed(1, "finance", Row { starts: 10, expires: Some(20), ..Row::default() }).await;
        let at_each = [(0, false), (10, true), (19, true), (20, false)];
        let mut now = 0;
        for (at, allowed) in at_each {
            server.advance(at - now);
            now = at;
            assert_eq!(server.check(1, "finance").await.allowed, allowed, "after {at} s");
        }
        assert_eq!(server.check(1, "finance").await.freshness.unwrap().as_of, Some(timestamp(0)), "it was held throughout");
    }

    async fn at_asks_what_the_answer_would_be_then(server: Server) {
        server.database.mk_subscribed(1, "finance", Row { starts: 10, expires: Some(20), ..Row::default() }).await;
        for (at, allowed, valid_until) in
            [(9, false, Some(10)), (10, true, Some(20)), (19, true, Some(20)), (20, false, None), (-9_000_000, false, Some(10))]
        {
            let request = CheckModuleRequest { at: Some(timestamp(at)), ..check_request(1, "finance") };
            let answer = server.check_request(request).await.unwrap();
            let freshness = answer.freshness.unwrap();
            assert_eq!(answer.allowed, allowed, "at {at}");
            assert_eq!(freshness.valid_until, valid_until.map(timestamp), "at {at}");
            assert_eq!(freshness.max_age, seconds(0), "at {at}");
        }
    }

    async fn max_age_is_the_smallest_of_all_its_bounds(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        server.database.mk_subscribed(2, "finance", Row { expires: Some(12), ..Row::default() }).await;
        server.database.mk_subscribed(3, "finance", Row { starts: 3, ..Row::default() }).await;
        let mut max_age = async |tenant, module: &str| server.check(tenant, module).await.freshness.unwrap().max_age;
        assert_eq!(max_age(1, "finance").await, seconds(30), "--max-age");
        assert_eq!(max_age(2, "finance").await, seconds(12), "the expiry");
        assert_eq!(max_age(1, "hrms").await, seconds(5), "--denial-max-age");
        assert_eq!(max_age(3, "finance").await, seconds(3), "the start");
        assert_eq!(max_age(99, "finance").await, seconds(5), "--denial-max-age");
        server.advance(280);
        assert_eq!(server.check(1, "finance").await.freshness.unwrap().max_age, seconds(20), "what is left of the time to live");
    }

    async fn facts_are_held_for_their_time_to_live(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        assert!(server.check(1, "finance").await.allowed);
        server.database.set_status(1, "suspended").await;
        server.advance(299);
        assert!(server.check(1, "finance").await.allowed, "held");
        server.advance(1);
        let answer = server.check(1, "finance").await;
        assert_eq!(answer.reason(), DecisionReason::TenantSuspended);
        assert_eq!(answer.freshness.unwrap().as_of, Some(timestamp(300)));
    }

    async fn a_tenant_that_was_unknown_is_found_after_the_negative_ttl(server: Server) {
        assert_eq!(server.check(1, "finance").await.reason(), DecisionReason::TenantNotFound);
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        server.advance(9);
        assert_eq!(server.check(1, "finance").await.reason(), DecisionReason::TenantNotFound);
        server.advance(1);
        assert!(server.check(1, "finance").await.allowed);
    }

    async fn a_module_that_was_unknown_is_found_after_the_negative_ttl(server: Server) {
        server.database.mk_tenant(1, "acme", "active").await;
        server.advance(10);
        assert_eq!(server.check(1, "dms").await.reason(), DecisionReason::ModuleNotFound);
        server.database.execute("INSERT INTO modules (code, name) VALUES ('dms', 'Distribution Management')").await;
        server.advance(9);
        assert_eq!(server.check(1, "dms").await.reason(), DecisionReason::ModuleNotFound);
        server.advance(1);
        assert_eq!(server.check(1, "dms").await.reason(), DecisionReason::NotSubscribed);
    }

    async fn a_subscription_to_a_module_newer_than_the_catalogue_counts(server: Server) {
        server.database.execute("INSERT INTO modules (code, name) VALUES ('dms', 'Distribution Management')").await;
        server.database.mk_subscribed(1, "dms", Row::default()).await;
        assert!(server.check(1, "dms").await.allowed);
    }

    async fn min_revision_reads_past_the_cache(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        assert!(server.check(1, "finance").await.allowed);
        server.database.set_status(1, "suspended").await;
        assert!(server.check(1, "finance").await.allowed, "held");
        let answer = server.check_past_the_cache(1, "finance").await;
        assert_eq!(answer.reason(), DecisionReason::TenantSuspended);
        assert_eq!(answer.freshness.unwrap().revision, 0, "revisions are not counted yet");
        assert!(!server.check(1, "finance").await.allowed, "what was read is held from then on");
        let unknown = server.check_past_the_cache(2, "finance").await;
        assert_eq!(unknown.reason(), DecisionReason::TenantNotFound);
        server.database.mk_subscribed(2, "finance", Row::default()).await;
        assert!(server.check_past_the_cache(2, "finance").await.allowed);
        assert!(server.check(2, "finance").await.allowed, "no longer held as unknown");
    }

    async fn a_batch_answers_each_code_in_the_order_asked(server: Server) {
        server.database.mk_subscribed(1, "finance", Row { expires: Some(12), ..Row::default() }).await;
        server.database.mk_subscription(1, "hrms", Row { starts: 3, ..Row::default() }).await;
        let codes = ["hrms", "finance", "no_such_module", "finance", "marketing"];
        let request = BatchCheckModulesRequest {
            tenant_id: id(1),
            module_codes: codes.map(String::from).to_vec(),
            ..Default::default()
        };
        let answer = server.client.batch_check_modules(request).await.unwrap().into_inner();
        let decided: Vec<_> = answer.decisions.iter().map(|decision| (decision.module_code.as_str(), decision.reason())).collect();
        assert_eq!(decided, [
            ("hrms", DecisionReason::SubscriptionNotStarted),
            ("finance", DecisionReason::Enabled),
            ("no_such_module", DecisionReason::ModuleNotFound),
            ("finance", DecisionReason::Enabled),
            ("marketing", DecisionReason::NotSubscribed),
        ]);
        assert_eq!(answer.decisions[1].max_age, seconds(12));
        assert_eq!(answer.decisions[1].valid_until, Some(timestamp(12)));
        assert_eq!(answer.decisions[4].plan_slugs, ["professional", "enterprise"]);
        let freshness = answer.freshness.unwrap();
        assert_eq!(freshness.max_age, seconds(3), "the smallest");
        assert_eq!(freshness.valid_until, Some(timestamp(3)), "the smallest");
    }

    async fn a_batch_of_an_unknown_tenant_is_denied_code_by_code(server: Server) {
        let request = BatchCheckModulesRequest {
            tenant_id: id(1),
            module_codes: vec!["finance".into(); 100],
            ..Default::default()
        };
        let answer = server.client.batch_check_modules(request).await.unwrap().into_inner();
        assert_eq!(answer.decisions.len(), 100);
        assert!(answer.decisions.iter().all(|decision| decision.reason() == DecisionReason::TenantNotFound));
    }
}
