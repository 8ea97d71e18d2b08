//! An edge that holds the tenants of some modules.

use entitlementd::proto::v1::DecisionReason;
use tonic::Code;

use super::core;
use crate::{
    harness::{
        Row, Server, postgres::free_port, process::Process, proxy::Proxy, server::check_request,
        until_so,
    },
    metrics::SHOWN,
};

fn of_modules<'a>(modules: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    [&SHOWN[..], &["--hold", "all", "--hold-modules", modules], flags].concat()
}

fn all_of(held: u32) -> String {
    format!("{held} tenants are held, among them all that have one of the modules")
}

impl Server {
    /// Neither held nor to be found out.
    async fn is_unknown(&mut self, tenant: u32, module: &str) {
        let status = self.check_request(check_request(tenant, module)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{tenant}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tenants_of_the_modules_are_held_before_anybody_asks_and_others_are_not() {
    let core = core().await;
    core.database.mk_subscribed(3, "hrms", Row::default()).await;
    let over = Row { status: "cancelled", ..Row::default() };
    core.database.mk_subscribed(4, "finance", over).await;
    let mut edge = core.edge(&of_modules("finance,sales_distribution", &[])).await;
    edge.until_it_says(&all_of(3)).await;
    edge.holds("all", 0.0).await;
    // News comes in its order: once the last is held, the ones before were passed over.
    core.database.mk_subscribed(5, "hrms", Row::default()).await;
    core.database.mk_tenant(6, "nothing", "active").await;
    core.database.mk_subscription(3, "d2c_storefront", Row::default()).await;
    core.database.mk_subscribed(7, "sales_distribution", Row::default()).await;
    edge.until_held_are(4.0).await;
    core.running.stop().await.unwrap();
    for tenant in [1, 2] {
        assert!(edge.check(tenant, "finance").await.allowed, "{tenant}");
    }
    assert!(edge.check(7, "sales_distribution").await.allowed);
    assert_eq!(edge.check(4, "finance").await.reason(), DecisionReason::SubscriptionCancelled);
    for tenant in [3, 5, 6] {
        edge.is_unknown(tenant, "finance").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gets_one_of_the_modules_is_held_at_once() {
    let core = core().await;
    core.database.mk_subscribed(3, "hrms", Row::default()).await;
    let mut edge = core.edge(&of_modules("finance", &[])).await;
    edge.until_it_says(&all_of(2)).await;
    core.database.mk_subscription(3, "finance", Row::default()).await;
    edge.until_it_says(&all_of(3)).await;
    core.running.stop().await.unwrap();
    assert!(edge.check(3, "finance").await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_none_of_them_is_held_once_somebody_has_asked() {
    let core = core().await;
    core.database.mk_subscribed(3, "hrms", Row::default()).await;
    let mut edge = core.edge(&of_modules("finance", &[])).await;
    edge.until_it_says(&all_of(2)).await;
    assert!(edge.check(3, "hrms").await.allowed);
    edge.until_it_says(&all_of(3)).await;
    core.database.set_status(3, "suspended").await;
    until_so("the change has arrived", async || {
        edge.check(3, "hrms").await.reason() == DecisionReason::TenantSuspended
    })
    .await;
    core.running.stop().await.unwrap();
    assert_eq!(edge.check(3, "hrms").await.reason(), DecisionReason::TenantSuspended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_meant_by_the_names_that_it_has_and_had() {
    let core = core().await;
    core.database.mk_subscribed(3, "hrms", Row::default()).await;
    let former = core.edge(&of_modules("finance", &[])).await;
    let later = core.edge(&of_modules("books", &[])).await;
    former.until_it_says(&all_of(2)).await;
    later.until_it_says(&all_of(0)).await;
    core.database
        .execute(
            "INSERT INTO entitlement_module_aliases (alias, module_id) SELECT 'finance', id FROM modules WHERE code = 'finance';
             UPDATE modules SET code = 'books' WHERE code = 'finance'",
        )
        .await;
    later.until_it_says(&all_of(2)).await;
    let afterwards = core.edge(&of_modules("finance", &[])).await;
    afterwards.until_it_says(&all_of(2)).await;
    core.database.mk_subscribed(4, "books", Row::default()).await;
    for edge in [former, later, afterwards] {
        edge.until_it_says(&all_of(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_name_alone_makes_its_tenants_wanted() {
    let core = core().await;
    let edge = core.edge(&of_modules("hrms", &[])).await;
    edge.until_it_says(&all_of(0)).await;
    // No tenant changes: what they have is called by one more name.
    core.database
        .execute(
            "DELETE FROM modules WHERE code = 'hrms';
             INSERT INTO entitlement_module_aliases (alias, module_id) SELECT 'hrms', id FROM modules WHERE code = 'finance'",
        )
        .await;
    edge.until_it_says(&all_of(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_that_are_asked_for_make_room_for_each_other_and_not_those_of_the_modules() {
    let core = core().await;
    core.database
        .execute(
            "INSERT INTO tenants (id, name, subdomain, database_schema)
             SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid, 'Company ' || i, 'company-' || i,
                    'tenant_company_' || i
             FROM generate_series(1001, 2600) i;
             INSERT INTO tenant_subscriptions (id, tenant_id, module_id, starts_at)
             SELECT gen_random_uuid(), t.id, m.id, '2026-01-01T00:00:00+00:00'
             FROM tenants t
             JOIN modules m ON m.code = CASE WHEN right(t.subdomain, 4)::int <= 2000 THEN 'finance' ELSE 'hrms' END
             WHERE t.subdomain LIKE 'company-%'",
        )
        .await;
    let mut edge = core.edge(&of_modules("finance", &["--cache-capacity", "1200"])).await;
    edge.until_it_says(&all_of(1002)).await;
    for tenant in 2001..=2600 {
        assert!(edge.check(tenant, "hrms").await.allowed, "{tenant}");
    }
    edge.until_it_says(&all_of(1200)).await;
    edge.holds("all", 0.0).await;
    core.running.stop().await.unwrap();
    for tenant in (1..=2).chain(1001..=2000) {
        assert!(edge.check(tenant, "finance").await.allowed, "{tenant}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_room_for_those_of_the_modules_that_is_said() {
    let core = core().await;
    let edge = core.edge(&of_modules("finance", &["--cache-capacity", "1"])).await;
    edge.until_it_says(
        "1 tenants are held, and 1 or more may be missing of those that have one of the modules",
    )
    .await;
    edge.holds("some", 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_passed_over_is_not_read_again_when_the_upstream_is_followed_again() {
    let core = core().await;
    for tenant in 10..40 {
        core.database.mk_subscribed(tenant, "hrms", Row::default()).await;
    }
    let network = Proxy::to(core.port()).await;
    let edge = core.unready_edge(&[network.port()], &of_modules("finance", &[])).await;
    edge.until_it_says(&all_of(2)).await;
    let loads = async || edge.metrics().await.of("cache_loads_total");
    assert_eq!(loads().await, 32.0, "each was read once");
    network.cut().await;
    core.database.mk_subscription(20, "finance", Row::default()).await;
    core.database.mk_subscription(21, "sales_distribution", Row::default()).await;
    edge.until_it_says(&all_of(3)).await;
    core.database.mk_subscription(22, "finance", Row::default()).await;
    edge.until_it_says(&all_of(4)).await;
    // Those that have changed were sent, and are looked at again where they are passed over.
    assert!(loads().await <= 32.0 + 1.0, "{}", loads().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_or_said() {
    let core = core().await;
    let used = core.try_edge(&[free_port()], &["--hold-modules", "finance"]).await;
    assert_eq!(used, "--hold-modules says whose tenants `--hold all` holds, and --hold is `used`");
    let upstream = format!("http://127.0.0.1:{}", core.port());
    let flags = ["--listen", "127.0.0.1:0", "--upstream", &upstream];
    let mut edge = Process::edge(&[&flags[..], &of_modules("finance,finanse", &[])].concat());
    edge.wait_for("--hold-modules names 'finanse', which is no module");
    edge.wait_for(&all_of(2));
}
