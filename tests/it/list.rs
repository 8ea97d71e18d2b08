//! ListEnabledModules.

use entitlementd::proto::v1::{
    EnabledModule, ListEnabledModulesRequest, ListEnabledModulesResponse, TenantStatus,
};
use prost_types::Timestamp;
use tonic::Code;

use crate::{
    harness::{Database, Row, Server, id, instant, reason_of},
    on_both,
};

fn request(tenant: u32) -> ListEnabledModulesRequest {
    ListEnabledModulesRequest { tenant_id: id(tenant), ..Default::default() }
}

fn timestamp(seconds_from_now: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: instant(seconds_from_now).timestamp(), nanos: 0 })
}

fn codes(answer: &ListEnabledModulesResponse) -> Vec<&str> {
    answer.modules.iter().map(|module| module.code.as_str()).collect()
}

on_both! {
    async fn the_list_holds_what_is_enabled_in_menu_order(server: Server) {
        server.database.mk_tenant(1, "acme", "active").await;
        for module in ["system_admin", "hrms", "finance", "oms_fulfillment"] {
            server.database.mk_subscription(1, module, Row::default()).await;
        }
        server.database.mk_subscription(1, "marketing", Row { expires: Some(-1), ..Row::default() }).await;
        server.database.execute("UPDATE modules SET display_order = NULL WHERE code = 'hrms'").await;
        server.database.execute("UPDATE modules SET frontend_routes = '[\"/finance\"]' WHERE code = 'finance'").await;
        server.outlive_the_catalogue(300).await;
        let answer = server.list(request(1)).await.unwrap();
        assert_eq!(codes(&answer), ["hrms", "oms_fulfillment", "finance", "system_admin"]);
        assert_eq!(answer.tenant_status(), TenantStatus::Active);
        assert_eq!(answer.modules[2], EnabledModule {
            code: "finance".into(),
            name: "Finance & Accounting".into(),
            category: "finance".into(),
            display_order: 3,
            starts_at: timestamp(-1_000_000),
            sections: vec![12, 13, 14],
            frontend_routes: vec!["/finance".into()],
            ..Default::default()
        });
        assert!(answer.modules[3].is_base_module);
    }

    async fn upcoming_rights_are_listed_only_when_asked_for(server: Server) {
        server.database.mk_subscribed(1, "finance", Row { expires: Some(50), ..Row::default() }).await;
        server.database.mk_subscription(1, "hrms", Row { starts: 20, expires: Some(40), ..Row::default() }).await;
        server.database.mk_subscription(1, "marketing", Row { starts: 30, expires: Some(30), ..Row::default() }).await;
        let answer = server.list(request(1)).await.unwrap();
        assert_eq!(codes(&answer), ["finance"]);
        assert_eq!(answer.modules[0].valid_until, timestamp(50));
        assert_eq!(answer.freshness.unwrap().valid_until, timestamp(20), "a start counts too");

        let upcoming = ListEnabledModulesRequest { include_upcoming: true, ..request(1) };
        let answer = server.list(upcoming).await.unwrap();
        assert_eq!(codes(&answer), ["finance", "hrms"], "a right that never holds is none");
        assert_eq!((answer.modules[1].starts_at, answer.modules[1].valid_until), (timestamp(20), timestamp(40)));
    }

    async fn the_list_can_be_asked_for_another_instant(server: Server) {
        server.database.mk_subscribed(1, "finance", Row { starts: 10, expires: Some(20), ..Row::default() }).await;
        for (at, listed) in [(9, 0), (10, 1), (19, 1), (20, 0)] {
            let then = ListEnabledModulesRequest { at: timestamp(at), ..request(1) };
            let answer = server.list(then).await.unwrap();
            assert_eq!(answer.modules.len(), listed, "at {at}");
            assert_eq!(answer.freshness.unwrap().max_age, Some(prost_types::Duration::default()));
        }
    }

    async fn a_tenant_that_is_not_served_has_no_modules_and_says_why(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        server.database.set_status(1, "suspended").await;
        let answer = server.list(request(1)).await.unwrap();
        assert!(answer.modules.is_empty());
        assert_eq!(answer.tenant_status(), TenantStatus::Suspended);
        assert_eq!(answer.freshness.unwrap().max_age.unwrap().seconds, 5, "a denial is kept briefly");
    }

    async fn a_module_newer_than_the_catalogue_is_listed_with_its_name(server: Server) {
        let insert = "INSERT INTO modules (code, name, display_order) VALUES ('dms', 'Distribution Management', 11)";
        server.database.execute(insert).await;
        server.database.mk_subscribed(1, "dms", Row::default()).await;
        server.advance(10);
        let answer = server.list(request(1)).await.unwrap();
        assert_eq!((answer.modules[0].name.as_str(), answer.modules[0].display_order), ("Distribution Management", 11));
    }

    async fn an_unknown_tenant_is_not_found(server: Server) {
        let status = server.list(request(1)).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::NotFound, "TENANT_NOT_FOUND"));
    }

    async fn a_menu_section_in_the_wrong_form_locks_nobody_out(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        server.database.execute("UPDATE modules SET sections = '{\"a\": 1}', frontend_routes = '[1, \"/f\"]'").await;
        server.outlive_the_catalogue(300).await;
        let answer = server.list(request(1)).await.unwrap();
        assert_eq!(codes(&answer), ["finance"]);
        assert!(answer.modules[0].sections.is_empty());
        assert_eq!(answer.modules[0].frontend_routes, ["/f"]);
    }
}
