//! A fresh database for one test.

use std::time::{Duration, Instant};

use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend,
    QueryResult, Statement, TransactionTrait,
};
use tempfile::TempDir;

use super::{postgres, proxy::Proxy};

/// A fresh database, and a connection of the test's own, past the server.
pub struct Database {
    pub url: String,
    /// The database's name; empty on SQLite.
    pub name: String,
    pub connection: DatabaseConnection,
    _folder: Option<TempDir>,
}

impl Database {
    /// An empty file.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        super::process::migrate(&url);
        let connection = connect(&url).await;
        Self { url, name: String::new(), connection, _folder: Some(folder) }
    }

    /// A database with our schema in it.
    pub async fn postgres() -> Self {
        Self::on_cluster(postgres::shared().migrated_database().await).await
    }

    /// A database with nothing in it.
    pub async fn empty_postgres() -> Self {
        Self::on_cluster(postgres::shared().empty_database().await).await
    }

    async fn on_cluster(name: String) -> Self {
        Self::on(postgres::shared(), name).await
    }

    /// A database of a cluster that the test has to itself.
    pub async fn on(cluster: &postgres::Cluster, name: String) -> Self {
        let url = cluster.url(&name);
        let connection = connect(&url).await;
        Self { url, name, connection, _folder: None }
    }

    /// The same database with another connection. On SQLite, the folder stays with the first.
    pub async fn again(&self) -> Self {
        let connection = connect(&self.url).await;
        Self { url: self.url.clone(), name: self.name.clone(), connection, _folder: None }
    }

    /// The same database for a server that goes there another way; this connection stays what it
    /// is.
    pub async fn by_way_of(&self, url: String) -> Self {
        Self { url, ..self.again().await }
    }

    /// The same database of the shared PostgreSQL, for a server that reaches it by a network.
    pub async fn behind(&self, network: &Proxy) -> Self {
        self.by_way_of(self.url_behind(network)).await
    }

    /// Where PostgreSQL is reached by a network.
    pub fn url_behind(&self, network: &Proxy) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{}", network.port(), self.name)
    }

    pub fn is_sqlite(&self) -> bool {
        self.connection.get_database_backend() == DbBackend::Sqlite
    }

    /// Runs SQL as a person would, by hand.
    pub async fn execute(&self, sql: &str) {
        self.connection
            .execute_unprepared(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The same, where the database may refuse it.
    pub async fn try_execute(&self, sql: &str) -> Result<(), sea_orm::DbErr> {
        self.connection.execute_unprepared(sql).await.map(drop)
    }

    /// The only row that a query finds.
    pub async fn one(&self, sql: &str) -> QueryResult {
        self.try_one(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, where the database may refuse it.
    pub async fn try_one(&self, sql: &str) -> Result<QueryResult, sea_orm::DbErr> {
        let query = Statement::from_string(self.connection.get_database_backend(), sql);
        let mut rows = self.connection.query_all_raw(query).await?;
        assert_eq!(rows.len(), 1, "{sql}");
        Ok(rows.remove(0))
    }
}

/// Waits until a statement of the server waits for a lock of this transaction.
pub async fn wait_until_blocked(lock: &impl ConnectionTrait) {
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let waiting = Statement::from_string(DbBackend::Postgres, waiting);
    let started = Instant::now();
    while lock.query_all_raw(waiting.clone()).await.unwrap().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "nobody waits for a lock");
        tokio::task::yield_now().await;
    }
}

/// Locks the tenants, so that no load ends until the transaction does.
pub async fn lock_tenants(database: &Database) -> DatabaseTransaction {
    let lock = database.connection.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    lock
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(2).sqlx_logging(false);
    sea_orm::Database::connect(options).await.unwrap()
}
