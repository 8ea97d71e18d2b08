//! What a server asks of PostgreSQL, counted there by pg_stat_statements: a log of each would be a
//! load by itself.

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::postgres::Cluster;

/// What the cluster is started with.
pub const SETTINGS: [&str; 2] =
    ["log_statement=none", "shared_preload_libraries=pg_stat_statements"];
/// Who the server is to PostgreSQL, so that its statements are told from others whatever they say.
const ROLE: &str = "the_server";
/// What every statement that reads tenants reads.
const READS: &str = "query ILIKE '%tenant_subscriptions%'";

/// Counts statements of the server.
pub struct Statements(PgConnection);

/// How many there were.
#[derive(Clone, Copy, Default)]
pub struct Count {
    /// Those that read tenants.
    pub reads: i64,
    pub all: i64,
    /// What PostgreSQL spent on them.
    pub millis: f64,
}

impl Statements {
    /// Makes the server's role, once for a cluster.
    pub async fn start(cluster: &Cluster) -> Self {
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
        let sql =
            format!("CREATE EXTENSION pg_stat_statements; CREATE ROLE {ROLE} LOGIN SUPERUSER");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    pub async fn count(&mut self) -> Count {
        let sql = format!(
            "SELECT coalesce(sum(calls) FILTER (WHERE {READS}), 0)::int8, coalesce(sum(calls), 0)::int8,
                    coalesce(sum(total_exec_time), 0)
             FROM pg_stat_statements WHERE userid = '{ROLE}'::regrole"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut self.0).await.unwrap();
        Count { reads: row.get(0), all: row.get(1), millis: row.get(2) }
    }

    /// The most frequent since the last reset: how often, rows each, milliseconds each, and how
    /// they begin.
    pub async fn most_frequent(&mut self, at_most: i64) -> Vec<(i64, f64, f64, String)> {
        let sql = format!(
            "SELECT calls, rows::float8 / calls, mean_exec_time, regexp_replace(left(query, 90), '\\s+', ' ', 'g')
             FROM pg_stat_statements WHERE userid = '{ROLE}'::regrole ORDER BY calls DESC LIMIT {at_most}"
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.0).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
    }

    pub async fn reset(&mut self) {
        sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(&mut self.0).await.unwrap();
    }
}

/// A database's URL for the server.
pub fn url(cluster: &Cluster, database: &str) -> String {
    cluster.url(database).replacen("postgres@", &format!("{ROLE}@"), 1)
}
