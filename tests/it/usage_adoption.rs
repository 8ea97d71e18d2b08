//! An ERP's database that has grown for years is adopted, and counted in: of the ERP's own rows, none
//! is so much as written again.

use std::{collections::BTreeMap, time::Duration};

use entitlementd::proto::v1::{
    CheckLimitRequest, CheckModuleRequest, ReconcileUsageRequest, ReleaseUsageRequest,
    ReserveUsageRequest,
};

use crate::{
    adoption::{ALEMBIC, LIVE, ROWS, STARTUP, Variant},
    harness::{Database, id, postgres, process, process::Process},
    usage::{Client, ORDERS, USERS, order, user},
};

/// Of those that are made here.
const TENANT: u32 = 1_001;

/// Two hundred more tenants, and what the ERP has kept of them for five years, in tables that some of
/// its programs make and others do not. JSON is of neither kind of ours.
const YEARS: &str = "
    UPDATE plans SET max_users = 25, max_transactions_monthly = 1000;
    INSERT INTO tenants (id, name, subdomain, database_schema, status, plan_id)
    SELECT ('00000000-0000-4000-8000-' || lpad((1000 + i)::text, 12, '0'))::uuid, 'Old ' || i, 'old-' || i, 'tenant_old_' || i,
           'active', p.id FROM generate_series(1, 200) i, plans p WHERE p.slug = 'growth';
    INSERT INTO tenant_subscriptions (tenant_id, module_id, status, starts_at)
    SELECT t.id, m.id, 'active', '2020-01-01Z' FROM tenants t, modules m WHERE t.subdomain LIKE 'old-%' AND m.code = 'finance';

    CREATE TABLE IF NOT EXISTS usage_metrics (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
        module_code varchar(50), metric_type varchar(50), metric_value numeric(15,2), recorded_at timestamptz DEFAULT now());
    INSERT INTO usage_metrics (tenant_id, module_code, metric_type, metric_value, recorded_at)
    SELECT t.id, 'finance', (ARRAY['users', 'transactions_monthly', 'storage'])[1 + i % 3], i * 1.25, '2021-01-01Z'::timestamptz + i * interval '15 hours'
    FROM generate_series(1, 3000) i JOIN tenants t ON t.subdomain = 'old-' || 1 + i % 200;

    CREATE TABLE billing_history (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
        invoice_number varchar(50) NOT NULL UNIQUE, billing_period_start timestamptz NOT NULL, billing_period_end timestamptz NOT NULL,
        amount numeric(10,2) NOT NULL, total_amount numeric(10,2) NOT NULL, status varchar(20) NOT NULL DEFAULT 'pending');
    INSERT INTO billing_history (tenant_id, invoice_number, billing_period_start, billing_period_end, amount, total_amount, status)
    SELECT t.id, t.subdomain || '/' || i, '2021-01-01Z'::timestamptz + i * interval '1 month', '2021-02-01Z'::timestamptz + i * interval '1 month',
           39999, 47198.82, (ARRAY['paid', 'pending', 'failed'])[1 + i % 3]
    FROM generate_series(0, 59) i, tenants t WHERE t.subdomain LIKE 'old-1_';

    CREATE TABLE tenant_modules (tenant_id uuid, module_code varchar(50), is_enabled boolean, settings json);
    INSERT INTO tenant_modules SELECT id, 'finance', true, '{\"from\":  2021}' FROM tenants;
    CREATE SCHEMA tenant_old_1;
    CREATE TABLE tenant_old_1.users (id uuid PRIMARY KEY, is_active boolean);
    INSERT INTO tenant_old_1.users SELECT gen_random_uuid(), i % 5 > 0 FROM generate_series(1, 50) i;
    CREATE TABLE tenant_old_1.orders (id bigserial PRIMARY KEY, placed_at timestamptz);
    INSERT INTO tenant_old_1.orders (placed_at) SELECT '2021-01-01Z'::timestamptz + i * interval '18 hours' FROM generate_series(1, 2500) i";

/// A sum over all that each table holds: what rows say, where they lie, and which transaction has
/// written them, so that one that is written again with the same values is found too.
async fn sums(database: &Database, tables: &[String]) -> BTreeMap<String, String> {
    let mut sums = BTreeMap::new();
    for table in tables {
        let sum = format!(
            "SELECT count(*) || ' rows ' || COALESCE(md5(string_agg(concat(t.ctid, t.xmin, t.xmax, t::text), '|' ORDER BY t.ctid)), '') AS sum
             FROM {table} t"
        );
        sums.insert(table.clone(), database.one(&sum).await.try_get("", "sum").unwrap());
    }
    sums
}

fn tables(database: &Database) -> Vec<String> {
    let all = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
               WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1";
    let all = postgres::shared().run("psql", &["-Atc", all, &database.name]);
    all.lines().map(str::to_owned).collect()
}

async fn counts(server: &mut Process) {
    let address = server.address();
    process::until_serving(&address).await;
    let mut entitlements = process::connect(&address).await;
    for tenant in TENANT..TENANT + 20 {
        let check = CheckModuleRequest {
            tenant_id: id(tenant),
            module_code: "finance".into(),
            ..Default::default()
        };
        assert!(entitlements.check_module(check).await.unwrap().into_inner().allowed, "{tenant}");
    }
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap();
    let mut usage = Client::new(channel.connect().await.unwrap());
    for tenant in TENANT..TENANT + 20 {
        let of =
            |request: ReserveUsageRequest| ReserveUsageRequest { tenant_id: id(tenant), ..request };
        let hold_for = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let held = ReserveUsageRequest { hold_for, ..order("o-2", 3) };
        let named = ReserveUsageRequest { module_code: "finance".into(), ..order("o-3", 2) };
        for request in [order("o-1", 5), held, order("o-2", 3), named, user("ann"), user("bob")] {
            let answer = usage.reserve_usage(of(request)).await.unwrap().into_inner();
            assert!(answer.granted, "{answer:?}");
        }
        let release = ReleaseUsageRequest {
            tenant_id: id(tenant),
            meter: USERS.into(),
            key: "bob".into(),
            only_held: false,
        };
        assert_eq!(usage.release_usage(release).await.unwrap().into_inner().released_amount, 1);
        let limit = CheckLimitRequest {
            tenant_id: id(tenant),
            limit_key: ORDERS.into(),
            amount: 1,
            ..Default::default()
        };
        let limit = entitlements.check_limit(limit).await.unwrap().into_inner();
        assert_eq!((limit.used, limit.limit), (10, Some(1000)), "what the ERP says is no usage");
    }
    let there = ReconcileUsageRequest {
        tenant_id: id(TENANT + 1),
        meter: USERS.into(),
        keys: vec!["eve".into()],
        as_of: Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 }),
        ..Default::default()
    };
    assert_eq!(usage.reconcile_usage(there).await.unwrap().into_inner().counted, 1);
}

async fn is_left_alone(variant: &Variant) {
    let database = Database::empty_postgres().await;
    for sql in [variant.schema, ROWS, YEARS] {
        database.execute(sql).await;
    }
    let tables = tables(&database);
    let before = sums(&database, &tables).await;
    let rows: usize =
        before.values().map(|sum| sum.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert!(tables.len() >= 8 && rows > 6_000, "{before:?}");

    process::migrate(&database.url);
    assert_eq!(sums(&database, &tables).await, before, "the migration wrote");
    let flags = ["--listen", "127.0.0.1:0", "--database-url", &database.url];
    let mut server = Process::serve(&flags);
    counts(&mut server).await;
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(20)), 0);
    let tenant = id(TENANT);
    let sql = "SELECT id FROM {schema}.users WHERE is_active";
    for arguments in [
        &["usage", "reconcile", USERS, "--sql", sql, "--tenant", &tenant][..],
        &["usage", "verify"],
        &["usage", "show", &tenant],
    ] {
        let output = process::run(&[arguments, &["--database-url", &database.url]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    database.verify_usage().await;
    let counted = "SELECT count(*) AS counted FROM entitlement_usage_keys WHERE state = 'counted'";
    let counted: i64 = database.one(counted).await.try_get("", "counted").unwrap();
    assert_eq!(counted, 20 * 4 + 1 + 40, "ann stays: she is too young to be missed");
    assert_eq!(sums(&database, &tables).await, before, "counting wrote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_writes_nothing_of_the_variant_of_the_first_migration() {
    is_left_alone(&ALEMBIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_writes_nothing_of_the_variant_of_the_live_database() {
    is_left_alone(&LIVE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_writes_nothing_of_the_variant_made_at_startup() {
    is_left_alone(&STARTUP).await;
}
