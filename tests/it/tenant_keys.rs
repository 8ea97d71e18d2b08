//! The keys of all tenants, of which there are more than a page: each is there once.

use std::{collections::HashSet, ops::Range};

use entitlementd::{
    domain::{Label, TenantId},
    store::{ChangeLog, LoadTenant, Pooler, Read, TenantKey},
};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

use crate::{
    batch::store,
    harness::{Database, id, pooler, postgres, postgres::Cluster, process},
};

/// Tenants, some of which are deleted; and of others only the log of changes knows, in which they were
/// folded long ago. Each are several pages, of 10 000 rows.
const TENANTS: u32 = 25_000;
const DELETED: u32 = 12_000;
const FOLDED: u32 = 11_000;
/// A tenant that has changed so often that its rows of the log are more than two pages.
const BUSY: u32 = 20_000;
const CHANGES: u32 = 25_000;

const INTO: &str = "tenants (id, name, subdomain, database_schema, status)";

/// Makes rows, of which each has the number `n` and the id of that number.
fn rows(database: &Database, into: &str, numbers: Range<u32>, row: &str) -> String {
    let (first, last) = (numbers.start, numbers.end - 1);
    let rows = if database.is_sqlite() {
        format!(
            "WITH RECURSIVE s (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})
             SELECT n, unhex(printf('00000000000040008000%012d', n)) AS id FROM s"
        )
    } else {
        format!(
            "SELECT n, CAST('00000000-0000-4000-8000-' || lpad(n::text, 12, '0') AS uuid) AS id
             FROM generate_series({first}, {last}) n"
        )
    };
    format!("INSERT INTO {into} SELECT {row} FROM ({rows}) r")
}

async fn mk_tenants(database: &Database, numbers: Range<u32>) {
    let tenants = rows(database, INTO, numbers, "id, 'T', 't' || n, 'tenant_t' || n, 'active'");
    database.execute(&tenants).await;
}

async fn fill(database: &Database) {
    mk_tenants(database, 0..TENANTS).await;
    database
        .execute("DELETE FROM tenants WHERE CAST(substr(subdomain, 2) AS integer) < 12000")
        .await;
    let folded = "entitlement_folded_changes (topic, tenant_id, changes)";
    let numbers = TENANTS..TENANTS + FOLDED;
    database.execute(&rows(database, folded, numbers, "'tenant', id, 3")).await;
    let busy = database.uuid(&id(BUSY));
    let (log, row) = if database.is_sqlite() {
        ("entitlement_changes (topic, tenant_id)", format!("'tenant', {busy}"))
    } else {
        (
            "entitlement_changes (topic, tenant_id, xid)",
            format!("'tenant', {busy}, (n + 1000000000)::text::xid8"),
        )
    };
    database.execute(&rows(database, log, 1..CHANGES + 1, &row)).await;
}

fn by_id(number: u32) -> TenantKey {
    TenantKey::Id(TenantId::parse(&id(number)).unwrap())
}

fn by_subdomain(label: &str) -> TenantKey {
    TenantKey::Subdomain(Label::parse(label).unwrap())
}

fn filled() -> HashSet<TenantKey> {
    let named = (DELETED..TENANTS).map(|number| by_subdomain(&format!("t{number}")));
    (0..TENANTS + FOLDED).map(by_id).chain(named).collect()
}

/// Each once.
fn set(read: Read<Vec<TenantKey>>) -> HashSet<TenantKey> {
    let all = read.value.len();
    let set: HashSet<_> = read.value.into_iter().collect();
    assert_eq!(set.len(), all, "one is there twice");
    set
}

async fn keys(url: &str, pooler: Pooler) -> Read<Vec<TenantKey>> {
    store(url, pooler, ChangeLog::Wanted).await.load_keys().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tenant_of_several_pages_is_listed_once_deleted_ones_among_them() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        fill(&database).await;
        assert!(set(keys(&database.url, Pooler::None).await) == filled(), "{}", database.url);
        let counts_nothing = store(&database.url, Pooler::None, ChangeLog::LeftOut).await;
        let those_there = set(counts_nothing.load_keys().await.unwrap());
        assert_eq!(those_there.len(), 2 * (TENANTS - DELETED) as usize);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_page_of_the_list_is_a_message_of_its_own_and_found_by_an_index() {
    let database = Database::postgres().await;
    fill(&database).await;
    keys(&database.url, Pooler::None).await;
    let mut pages = postgres::shared().lines_of_statements(&database.name).await;
    pages.retain(|line| line.contains("LIMIT 10000"));
    // The log has each insertion and each deletion, and more of one tenant than are read.
    let of = |table: &str| pages.iter().filter(|line| line.contains(table)).count();
    let found = ["FROM tenants ", "FROM entitlement_changes ", "FROM entitlement_folded"].map(of);
    assert_eq!(found, [2, 5, 2], "{pages:#?}");
    for page in &pages {
        assert_eq!(page.matches("LIMIT").count(), 1, "{page}");
        let (_, statement) = page.split_once("; ").unwrap();
        let plan = explained(&database, statement).await;
        assert!(plan.contains("Index Cond") && !plan.contains("Sort"), "{statement}: {plan}");
    }
}

/// How it is found, where rows are as many as they may be.
async fn explained(database: &Database, statement: &str) -> String {
    let connection = database.connection.begin().await.unwrap();
    // So few are sorted as quickly as they are found in their order.
    let few = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off";
    connection.execute_unprepared(few).await.unwrap();
    let explain = Statement::from_string(DbBackend::Postgres, format!("EXPLAIN {statement}"));
    let plan = connection.query_all_raw(explain).await.unwrap();
    let lines = plan.iter().map(|line| line.try_get_by_index::<String>(0).unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pooler_that_knows_no_sessions_the_list_is_the_same() {
    let database = Database::postgres().await;
    fill(&database).await;
    let pooler = pooler::Pooler::to(postgres::shared().port(), &[]);
    assert!(set(keys(&pooler.url(&database.name), Pooler::Transaction).await) == filled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_a_standby_gives_is_known_to_come_from_one() {
    let cluster = Cluster::start(&[]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let database = Database::on(&cluster, name).await;
    mk_tenants(&database, 0..10_001).await;
    let standby = Cluster::standby_of(&cluster, &[]);
    standby.catch_up(&cluster).await;
    let here = keys(&cluster.url(&database.name), Pooler::None).await;
    let there = keys(&standby.url(&database.name), Pooler::None).await;
    assert_eq!((here.is_from_standby, there.is_from_standby), (false, true));
    assert!(set(here) == set(there));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_without_a_subdomain_is_listed_by_its_id() {
    let database = Database::postgres().await;
    database.execute("ALTER TABLE tenants ALTER subdomain DROP NOT NULL").await;
    mk_tenants(&database, 0..10_002).await;
    database
        .execute("UPDATE tenants SET subdomain = NULL WHERE subdomain IN ('t1', 't9999')")
        .await;
    let found = set(keys(&database.url, Pooler::None).await);
    assert_eq!(found.len(), 2 * 10_002 - 2);
    assert!(found.contains(&by_id(9_999)) && found.contains(&by_subdomain("t10001")));
}

/// Nobody can be answered about them, and others can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_cannot_be_read_neither_end_the_list_nor_hold_it_up() {
    let database = Database::sqlite().await;
    mk_tenants(&database, 0..100).await;
    // As tables of somebody else allow: more than a page of text, which comes first, and bytes that are
    // too few and too many.
    let text =
        "'00000000-0000-4000-8000-' || printf('%012d', n), 'T', 'text' || n, 's' || n, 'active'";
    let text = rows(&database, INTO, 0..10_100, text);
    let bytes = format!(
        "INSERT INTO {INTO} VALUES (x'', 'T', 'bytes0', 'b0', 'active'), (x'00', 'T', 'bytes1', 'b1', 'active'),
         (zeroblob(17), 'T', 'bytes2', 'b2', 'active')"
    );
    let unchecked = "PRAGMA ignore_check_constraints = on";
    database.execute(&[unchecked, &text, &bytes].join("; ")).await;
    let found = set(keys(&database.url, Pooler::None).await);
    let expected: HashSet<_> = (0..100)
        .flat_map(|number| [by_id(number), by_subdomain(&format!("t{number}"))])
        .chain((0..10_100).map(|number| by_subdomain(&format!("text{number}"))))
        .chain((0..3).map(|place| by_subdomain(&format!("bytes{place}"))))
        .collect();
    assert!(found == expected, "{} of {}", found.len(), expected.len());
}
