//! A connection of SeaORM's own, which has a place among the others.

use sea_orm::{DatabaseConnection, SqlxPostgresConnector};
use sqlx::{AssertSqlSafe, Executor, postgres::PgPoolOptions};

use super::{
    StoreError,
    database::{Database, Server},
    pool::Place,
};

/// A connection of SeaORM's, for what needs one.
pub(super) struct OwnConnection {
    pub(super) connection: DatabaseConnection,
    /// What a transaction must begin and end with.
    pub(super) frame: [&'static str; 2],
    /// `None`: the connection is the database's.
    place: Option<Place>,
}

impl OwnConnection {
    /// Closes it, if it is not the database's.
    pub(super) async fn close(self) {
        if self.place.is_some() {
            // It has done what it was for.
            _ = self.connection.close().await;
        }
    }
}

/// Sessions of the driver's own pool that begin with these settings, as those of ours do, and are closed by
/// whoever has opened them.
pub(super) fn beginning_with(options: PgPoolOptions, first: Option<String>) -> PgPoolOptions {
    options.idle_timeout(None).max_lifetime(None).after_connect(move |connection, _| {
        let first = first.clone();
        Box::pin(async move {
            if let Some(first) = first {
                connection.execute(sqlx::raw_sql(AssertSqlSafe(first))).await?;
            }
            Ok(())
        })
    })
}

impl Database {
    /// A connection for sea-orm-migration, which prepares its statements, and what its transaction
    /// must begin and end with.
    pub(super) async fn for_migrating(&self) -> Result<OwnConnection, StoreError> {
        let pool = match &self.server {
            Server::Postgres(pool) => pool,
            Server::Sqlite(connection) => {
                let connection = connection.clone();
                return Ok(OwnConnection { connection, frame: ["", ""], place: None });
            }
        };
        // The server has granted the one that it takes the place of.
        let place = pool.exchanged(self.purpose).await?;
        let mut options = pool.options();
        if self.set_local.is_some() {
            // What was prepared is gone after each transaction, and is not to be remembered.
            options = options.statement_cache_capacity(0);
        }
        let own = beginning_with(PgPoolOptions::new(), pool.first())
            .max_connections(1)
            .acquire_timeout(pool.limits().connect)
            .connect_lazy_with(options);
        let first = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; DEALLOCATE ALL; SET LOCAL search_path = public";
        let frame = if self.set_local.is_some() { [first, "DEALLOCATE ALL"] } else { ["", ""] };
        let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(own);
        Ok(OwnConnection { connection, frame, place: Some(place) })
    }
}
