//! Transactions in one tenant's schema. Feature `sea-orm`; PostgreSQL.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqlxPostgresConnector, TransactionTrait,
    sqlx::postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::Tenant;

/// In bytes. PostgreSQL truncates longer names, and two tenants would share a schema.
const LONGEST_NAME: usize = 63;

/// Begins transactions that see the schema of one tenant, and nothing else.
///
/// The search path is set with `SET LOCAL`, so it ends with the transaction: no connection goes
/// back to a pool, or a pooler in transaction mode, with the path of a tenant on it. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct TenantDb {
    connection: DatabaseConnection,
    prefix: String,
    keeps_statements: bool,
}

/// Why there is no transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TenantDbError {
    /// The name is not that of a tenant's schema: it lacks the prefix, is too long, or has
    /// characters other than letters, digits, `_` and `-`.
    #[error("no tenant's schema: {0:?}")]
    Schema(String),
    /// The connection is not to PostgreSQL.
    #[error("schemas of tenants are for PostgreSQL")]
    NotPostgres,
    /// The database did not begin the transaction.
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl TenantDb {
    /// For a connection to PostgreSQL itself, or a pooler in session mode.
    ///
    /// Statements stay prepared on its connections, and PostgreSQL plans them again when the search
    /// path differs. If tenants' tables have different columns, it refuses to ("cached plan must
    /// not change result type"): take
    /// [`behind_transaction_pooler`](Self::behind_transaction_pooler) there, too.
    pub fn new(connection: DatabaseConnection) -> Self {
        Self { connection, prefix: "tenant_".into(), keeps_statements: true }
    }

    /// Through a pooler in transaction mode: PgBouncer, Supavisor. Connects on first use.
    ///
    /// Nothing stays prepared: what one connection prepared does not exist on the next one, or
    /// belongs to another client.
    pub fn behind_transaction_pooler(pool: PgPoolOptions, connect: PgConnectOptions) -> Self {
        // A startup parameter that poolers refuse; since PostgreSQL 12 it changes nothing.
        let connect = connect.statement_cache_capacity(0).extra_float_digits(None);
        let connection =
            SqlxPostgresConnector::from_sqlx_postgres_pool(pool.connect_lazy_with(connect));
        Self { keeps_statements: false, ..Self::new(connection) }
    }

    /// What the schema of each tenant begins with. Default `tenant_`; other names are refused:
    /// `public` and PostgreSQL's own schemas are not a tenant's.
    #[must_use]
    pub fn schema_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// A transaction that sees the tenant's schema only. Commit it; it is rolled back when dropped.
    ///
    /// # Errors
    ///
    /// [`TenantDbError`].
    pub async fn for_tenant(&self, tenant: &Tenant) -> Result<DatabaseTransaction, TenantDbError> {
        self.begin(self.checked(&tenant.database_schema)?).await
    }

    /// A transaction that sees the schema `public` only.
    ///
    /// # Errors
    ///
    /// [`TenantDbError`].
    pub async fn public(&self) -> Result<DatabaseTransaction, TenantDbError> {
        self.begin("public").await
    }

    fn checked<'a>(&self, schema: &'a str) -> Result<&'a str, TenantDbError> {
        let is_tenants = schema.strip_prefix(&self.prefix).is_some_and(|rest| !rest.is_empty());
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if is_tenants && schema.len() <= LONGEST_NAME && schema.bytes().all(is_plain) {
            return Ok(schema);
        }
        Err(TenantDbError::Schema(schema.to_owned()))
    }

    async fn begin(&self, schema: &str) -> Result<DatabaseTransaction, TenantDbError> {
        if self.connection.get_database_backend() != DbBackend::Postgres {
            return Err(TenantDbError::NotPostgres);
        }
        let transaction = self.connection.begin().await?;
        // sqlx names what it prepares `sqlx_s_1` and so on: those that another client left on this
        // connection go first.
        let forget = if self.keeps_statements { "" } else { "DEALLOCATE ALL; " };
        // The characters that a name may have need no escaping within quotes.
        transaction
            .execute_unprepared(&format!("{forget}SET LOCAL search_path TO \"{schema}\""))
            .await?;
        Ok(transaction)
    }
}
