//! The differences between PostgreSQL and SQLite. Each text has its two forms in `postgres` and
//! `sqlite`; everything else in the store is written once.

mod log_state;
mod own_replica;
mod postgres;
mod sqlite;

use entitlementd_migration::{ChangeLog, catalogue_revision, revision_of};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value, sea_query::SimpleExpr};

pub(super) use self::{
    own_replica::{RUN, log_since as log_of_replica_since},
    postgres::history,
};
use super::TenantKey;

/// One of the two databases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

impl Dialect {
    pub(super) fn of(connection: &impl ConnectionTrait) -> Self {
        match connection.get_database_backend() {
            DbBackend::Sqlite => Self::Sqlite,
            _ => Self::Postgres,
        }
    }

    /// The name that SeaORM uses.
    pub(super) fn backend(self) -> DbBackend {
        match self {
            Self::Postgres => DbBackend::Postgres,
            Self::Sqlite => DbBackend::Sqlite,
        }
    }

    /// The name that OpenTelemetry uses, in `db.system.name`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Sqlite => "sqlite",
        }
    }

    /// A statement in SQL, with values for `$1` and so on.
    pub(super) fn statement(
        self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Statement {
        let mut values = values.into_iter().peekable();
        match values.peek() {
            None => Statement::from_string(self.backend(), sql),
            Some(_) => Statement::from_sql_and_values(self.backend(), sql, values),
        }
    }

    /// An expression: is the server that answers a standby?
    pub(super) fn is_standby(self) -> &'static str {
        match self {
            Self::Postgres => "pg_is_in_recovery()",
            Self::Sqlite => "false",
        }
    }

    /// Does it have schemas, one for each tenant?
    pub(super) fn has_schemas(self) -> bool {
        self == Self::Postgres
    }

    /// Can several transactions write concurrently, so that locks are needed to keep them apart?
    pub(super) fn has_concurrent_writers(self) -> bool {
        self == Self::Postgres
    }

    /// The first parameter of a statement.
    pub(super) fn first_parameter(self) -> &'static str {
        match self {
            Self::Postgres => "$1",
            Self::Sqlite => "?1",
        }
    }

    /// A statement with one parameter, to which others can be added: SeaORM does not number
    /// SQLite's.
    pub(super) fn with_numbered_parameter(self, sql: String) -> String {
        match self {
            Self::Postgres => sql,
            Self::Sqlite => sql.replace('?', self.first_parameter()),
        }
    }

    /// An expression for a tenant's revision; 0 while changes are not counted. `tenant` is an
    /// expression too.
    pub(super) fn revision_of(self, log: ChangeLog, tenant: &str) -> String {
        match log {
            ChangeLog::Wanted => revision_of(self.backend(), tenant),
            ChangeLog::LeftOut => "0".to_owned(),
        }
    }

    /// An expression for the catalogue's revision, if changes are counted.
    pub(super) fn catalogue_revision(self) -> String {
        catalogue_revision(self.backend())
    }

    /// An expression for what the database's own clock shows, in microseconds since 1970; SQLite has
    /// that of this process.
    pub(super) fn clock(self) -> &'static str {
        match self {
            Self::Postgres => postgres::CLOCK,
            Self::Sqlite => "CAST(NULL AS bigint)",
        }
    }

    /// A column of instants, clamped to the range that can be decoded. SQLite stores text: what
    /// cannot be decoded is an error there, not a panic.
    pub(super) fn instant(self, column: SimpleExpr) -> SimpleExpr {
        match self {
            Self::Postgres => postgres::instant(column),
            Self::Sqlite => column,
        }
    }

    /// An expression for an instant within JSON: in microseconds since 1970, or as SQLite stores it.
    pub(super) fn micros(self, column: &str) -> String {
        match self {
            Self::Postgres => postgres::micros(column),
            Self::Sqlite => column.to_owned(),
        }
    }

    /// An expression for an instant, from one for microseconds since 1970; in tables of ours alone,
    /// which have these on SQLite.
    pub(super) fn instant_of_micros(self, micros: &str) -> String {
        match self {
            Self::Postgres => {
                format!("(TIMESTAMPTZ 'epoch' + {micros} * INTERVAL '1 microsecond')")
            }
            Self::Sqlite => micros.to_owned(),
        }
    }

    /// A parameter of this type.
    pub(super) fn parameter(self, number: usize, sql_type: &str) -> String {
        match self {
            Self::Postgres => format!("CAST(${number} AS {sql_type})"),
            Self::Sqlite => format!("${number}"),
        }
    }

    /// An expression for a column as text, whatever it holds: SQLite would take bytes for text that is
    /// none.
    pub(super) fn text(self, column: &str) -> String {
        let text = format!("CAST({column} AS text)");
        match self {
            Self::Postgres => text,
            Self::Sqlite => {
                format!("CASE WHEN typeof({column}) = 'blob' THEN '(bytes)' ELSE {text} END")
            }
        }
    }

    /// What ends a subquery whose columns are to be computed once, however often they are named.
    pub(super) fn fence(self) -> &'static str {
        match self {
            Self::Postgres => "OFFSET 0",
            Self::Sqlite => "LIMIT -1",
        }
    }

    /// An expression for a UUID within JSON, which has no bytes.
    pub(super) fn hex(self, column: &str) -> String {
        match self {
            Self::Postgres => column.to_owned(),
            Self::Sqlite => format!("hex({column})"),
        }
    }

    /// An aggregate of rows, each a JSON list of these expressions, as text; NULL of none.
    pub(super) fn json_rows(self, expressions: &str) -> String {
        match self {
            Self::Postgres => format!("json_agg(json_build_array({expressions}))::text"),
            Self::Sqlite => format!("NULLIF(json_group_array(json_array({expressions})), '[]')"),
        }
    }

    /// Tables made from two parameters: ids in `i (id)`, and subdomains in `s (subdomain)`.
    pub(super) fn key_tables(self) -> [&'static str; 2] {
        match self {
            Self::Postgres => postgres::KEY_TABLES,
            Self::Sqlite => sqlite::KEY_TABLES,
        }
    }

    /// The two parameters for these keys: ids, and subdomains.
    pub(super) fn key_lists(self, keys: &[TenantKey]) -> [String; 2] {
        match self {
            Self::Postgres => postgres::key_lists(keys),
            Self::Sqlite => sqlite::key_lists(keys),
        }
    }

    /// A condition that limits a subquery to the rows whose tenant is in `k (id)`. PostgreSQL
    /// pushes the key of a join into the subquery; SQLite would read all tenants first.
    pub(super) fn only_keys(self, column: &str) -> String {
        match self {
            Self::Postgres => String::new(),
            Self::Sqlite => format!(" WHERE {column} IN (SELECT id FROM k)"),
        }
    }

    /// Reads how long the log is, and whose transaction is the oldest.
    pub(super) fn log_state(self) -> String {
        match self {
            Self::Postgres => log_state::postgres(),
            Self::Sqlite => log_state::SQLITE.to_owned(),
        }
    }

    /// Reads the log of changes from the last position, at most `most` rows.
    pub(super) fn log_since(self, seen: Option<&str>, most: usize) -> String {
        match self {
            Self::Postgres => postgres::log_since(seen, most),
            Self::Sqlite => sqlite::log_since(seen, most),
        }
    }
}
