//! Transactions in tenants' schemas, on as few connections as there can be.

use std::sync::Arc;

use entitlement_client::{Tenant, TenantDb, TenantDbError, TenantStatus};
use futures_util::future::join_all;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, SqlxPostgresConnector, Statement, Value,
};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::harness::{Database, pooler::Pooler, postgres};

const SCHEMAS: [&str; 2] = ["tenant_acme", "tenant_Other-1"];

fn of(schema: &str) -> Tenant {
    Tenant {
        id: Uuid::from_u128(1),
        name: "Acme".into(),
        subdomain: "acme".into(),
        database_schema: schema.into(),
        status: TenantStatus::Active,
        plan_slug: String::new(),
    }
}

/// A database in which every schema has a table that holds the schema's name.
async fn database() -> Database {
    let database = Database::empty_postgres().await;
    for schema in [SCHEMAS[0], SCHEMAS[1], "public"] {
        database.execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"")).await;
        database.execute(&format!("CREATE TABLE \"{schema}\".notes (note text)")).await;
        database.execute(&format!("INSERT INTO \"{schema}\".notes VALUES ('{schema}')")).await;
    }
    database
}

/// A service with a pool of one connection, by this way.
fn service(url: &str, is_pooled: bool) -> TenantDb {
    let (one, options) = (PgPoolOptions::new().max_connections(1), url.parse().unwrap());
    if is_pooled {
        return TenantDb::behind_transaction_pooler(one, options);
    }
    TenantDb::new(SqlxPostgresConnector::from_sqlx_postgres_pool(one.connect_lazy_with(options)))
}

/// What a transaction sees, by a statement with a value, which is prepared.
async fn notes(transaction: &DatabaseTransaction) -> Vec<String> {
    let sql = "SELECT note FROM notes WHERE note <> $1 ORDER BY note";
    let statement =
        Statement::from_sql_and_values(DbBackend::Postgres, sql, [Value::from("nothing")]);
    let rows = transaction.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get("", "note").unwrap()).collect()
}

async fn write(transaction: &DatabaseTransaction, note: &str) {
    let values = [Value::from(note)];
    let insert = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "INSERT INTO notes VALUES ($1)",
        values,
    );
    transaction.execute_raw(insert).await.unwrap();
}

/// Runs a test direct and through a PgBouncer that has one connection for everybody.
async fn by_both_ways(test: impl AsyncFn(&str, bool)) {
    let database = database().await;
    test(&postgres::shared().url(&database.name), false).await;
    let database = self::database().await;
    let pooler = Pooler::to(postgres::shared().port(), &["default_pool_size = 1"]);
    test(&pooler.url(&database.name), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tenants_and_public_see_their_own_rows_on_one_connection() {
    by_both_ways(async |url, is_pooled| {
        // Two services: behind the pooler, both are served by one connection.
        let services = Arc::new([service(url, is_pooled), service(url, is_pooled)]);
        let work = |number: usize| {
            let (services, schema) = (Arc::clone(&services), SCHEMAS[number % 2]);
            tokio::spawn(async move {
                let db = &services[number / 2];
                for round in 0..20 {
                    let transaction = db.for_tenant(&of(schema)).await.unwrap();
                    assert_eq!(notes(&transaction).await, [schema]);
                    // Dropped, committed, or rolled back, with something to lose.
                    write(&transaction, "lost").await;
                    if round % 2 == 0 {
                        transaction.rollback().await.unwrap();
                    } else {
                        drop(transaction);
                    }
                    let public = db.public().await.unwrap();
                    assert_eq!(notes(&public).await, ["public"]);
                    public.commit().await.unwrap();
                }
            })
        };
        for worker in join_all((0..4).map(work)).await {
            worker.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_stays_and_no_path_is_left_behind() {
    by_both_ways(async |url, is_pooled| {
        let db = service(url, is_pooled);
        let transaction = db.for_tenant(&of(SCHEMAS[0])).await.unwrap();
        write(&transaction, "z kept").await;
        transaction.commit().await.unwrap();
        let again = db.for_tenant(&of(SCHEMAS[0])).await.unwrap();
        assert_eq!(notes(&again).await, [SCHEMAS[0], "z kept"]);
        drop(again);
        let other = db.for_tenant(&of(SCHEMAS[1])).await.unwrap();
        assert_eq!(notes(&other).await, [SCHEMAS[1]]);
    })
    .await;
    let database = database().await;
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect_lazy_with(postgres::shared().url(&database.name).parse().unwrap());
    let db = TenantDb::new(SqlxPostgresConnector::from_sqlx_postgres_pool(pool.clone()));
    drop(db.for_tenant(&of(SCHEMAS[0])).await.unwrap());
    db.for_tenant(&of(SCHEMAS[0])).await.unwrap().commit().await.unwrap();
    let path: String = sqlx::query_scalar("SHOW search_path").fetch_one(&pool).await.unwrap();
    assert_eq!(path, "\"$user\", public");
}

#[tokio::test]
async fn tables_that_differ_between_tenants_are_no_trouble_where_nothing_stays_prepared() {
    let database = database().await;
    database.execute("ALTER TABLE \"tenant_Other-1\".notes ALTER note TYPE varchar(100)").await;
    let url = postgres::shared().url(&database.name);
    let db = service(&url, true);
    for schema in [SCHEMAS[0], SCHEMAS[1], SCHEMAS[0]] {
        assert_eq!(notes(&db.for_tenant(&of(schema)).await.unwrap()).await, [schema]);
    }
    let direct = service(&url, false);
    assert_eq!(notes(&direct.for_tenant(&of(SCHEMAS[0])).await.unwrap()).await, [SCHEMAS[0]]);
    let transaction = direct.for_tenant(&of(SCHEMAS[1])).await.unwrap();
    let sql = "SELECT note FROM notes WHERE note <> $1 ORDER BY note";
    let statement =
        Statement::from_sql_and_values(DbBackend::Postgres, sql, [Value::from("nothing")]);
    let error = transaction.query_all_raw(statement).await.unwrap_err();
    assert!(
        error.to_string().contains("cached plan must not change result type"),
        "an error, and no wrong row: {error}"
    );
}

#[tokio::test]
async fn what_is_no_tenants_schema_is_refused_before_anything_is_sent() {
    let nowhere = service("postgres://nobody@127.0.0.1:1/nowhere", false);
    let too_long = format!("tenant_{}", "x".repeat(57));
    for schema in [
        "public",
        "pg_catalog",
        "tenant_",
        "acme",
        "tenant_a\"; DROP SCHEMA public; --",
        "tenant_a, public",
        "tenant_a\n",
        "tenant_ä",
        &too_long,
    ] {
        let refused = nowhere.for_tenant(&of(schema)).await.unwrap_err();
        assert!(matches!(refused, TenantDbError::Schema(_)), "{schema}: {refused:?}");
    }
    let another =
        nowhere.clone().schema_prefix("erp_").for_tenant(&of("tenant_acme")).await.unwrap_err();
    assert!(matches!(another, TenantDbError::Schema(_)));
    let sqlite = TenantDb::new(Database::sqlite().await.connection);
    let refused = sqlite.for_tenant(&of("tenant_acme")).await.unwrap_err();
    assert!(matches!(refused, TenantDbError::NotPostgres), "{refused:?}");
}
