//! The log of changes: an insert-only table, and triggers that append to it in the writer's own
//! transaction.
//!
//! The triggers are guests in the ERP's transactions. A counter per tenant would make writers of
//! one tenant wait for each other, deadlock, and fail at higher isolation levels; a row that is
//! only ever inserted, under a key that holds the transaction's own number, does not conflict with
//! any other transaction. A tenant's revision is the number of its rows, so it grows with each
//! commit, in commit order, without a lock.

mod arm;
mod postgres;
mod restored;
mod sqlite;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement},
};

pub use self::arm::Armed;
pub(crate) use self::arm::arm;
pub(crate) use self::postgres::DEFINERS;
pub(crate) use self::restored::fold_restored;
pub use self::sqlite::fold as fold_sqlite;
use crate::{catalog, required::serving_columns_of, tables::OURS};

/// The channel on which PostgreSQL notifies listeners of a change.
pub const CHANNEL: &str = "entitlement_changes";

/// A number of changes that nobody reaches, small enough that two of them can be added.
const MAX_FOLDED: i64 = 1 << 61;

/// A transaction that touches more tenants than this is announced once, as "many".
pub const MAX_ANNOUNCED: u32 = 100;

/// What a row of the log is about.
pub mod topic {
    /// One tenant's facts.
    pub const TENANT: &str = "tenant";
    /// Every tenant's facts: a table was truncated, or a key that facts carry by join has changed.
    pub const TENANTS: &str = "tenants";
    /// Which tenants there are, and their subdomains.
    pub const DIRECTORY: &str = "directory";
    /// Modules and plans.
    pub const CATALOGUE: &str = "catalogue";
}

/// A table whose changes are logged.
struct Watched {
    table: &'static str,
    /// The column that holds the tenant's id; `None`: the table belongs to the catalogue.
    tenant: Option<&'static str>,
    /// An update that leaves these columns unchanged is not logged. They are the columns that
    /// answers are made from.
    columns: &'static [&'static str],
    /// Beside the table's own topic: the columns whose change concerns another topic, and that
    /// topic.
    keys: Option<(&'static [&'static str], &'static str)>,
}

impl Watched {
    /// What the names of its triggers and functions begin with.
    fn prefix(&self) -> String {
        let table = self.table;
        if table.starts_with(OURS) { table.to_owned() } else { format!("{OURS}_{table}") }
    }

    fn topic(&self) -> &'static str {
        if self.tenant.is_some() { topic::TENANT } else { topic::CATALOGUE }
    }
}

fn watched() -> [Watched; 13] {
    [
        Watched {
            table: "tenants",
            tenant: Some("id"),
            columns: serving_columns_of("tenants"),
            keys: Some((&["id", "subdomain"], topic::DIRECTORY)),
        },
        Watched {
            table: "tenant_subscriptions",
            tenant: Some("tenant_id"),
            columns: serving_columns_of("tenant_subscriptions"),
            keys: None,
        },
        Watched {
            table: "feature_flags",
            tenant: Some("tenant_id"),
            columns: serving_columns_of("feature_flags"),
            keys: None,
        },
        // Facts carry codes and slugs by join: renaming one changes the facts of every tenant that
        // has it.
        Watched {
            table: "modules",
            tenant: None,
            columns: serving_columns_of("modules"),
            keys: Some((&["id", "code"], topic::TENANTS)),
        },
        Watched {
            table: "plans",
            tenant: None,
            columns: serving_columns_of("plans"),
            keys: Some((&["id", "slug"], topic::TENANTS)),
        },
        Watched {
            table: "entitlement_limit_overrides",
            tenant: Some("tenant_id"),
            columns: &["tenant_id", "key", "value", "ends_at", "reason"],
            keys: None,
        },
        Watched {
            table: "entitlement_kept_features",
            tenant: Some("tenant_id"),
            columns: &["tenant_id", "plan_id", "module_id", "key", "enabled", "value", "kept_at"],
            keys: None,
        },
        Watched {
            table: "entitlement_kept_limits",
            tenant: Some("tenant_id"),
            columns: &["tenant_id", "plan_id", "key", "value", "kept_at"],
            keys: None,
        },
        Watched {
            table: "entitlement_time_zones",
            tenant: Some("tenant_id"),
            columns: &["tenant_id", "from_month", "zone"],
            keys: None,
        },
        Watched {
            table: "entitlement_features",
            tenant: None,
            columns: &[
                "module_id",
                "key",
                "name",
                "description",
                "value_type",
                "default_enabled",
                "default_value",
            ],
            keys: None,
        },
        Watched {
            table: "entitlement_plan_features",
            tenant: None,
            columns: &["plan_id", "module_id", "key", "enabled", "value"],
            keys: None,
        },
        Watched {
            table: "entitlement_limits",
            tenant: None,
            columns: &["key", "name", "unit", "kind"],
            keys: None,
        },
        Watched {
            table: "entitlement_plan_limits",
            tenant: None,
            columns: &["plan_id", "key", "value"],
            keys: None,
        },
    ]
}

/// A trigger of the log, and the statement that makes it.
struct Trigger {
    table: &'static str,
    name: String,
    create: String,
}

fn triggers(backend: DbBackend) -> Vec<Trigger> {
    match backend {
        DbBackend::Sqlite => watched().iter().flat_map(sqlite::triggers).collect(),
        _ => postgres::triggers(),
    }
}

/// Makes the log's tables, its view and its functions. Its triggers are made by [`arm`].
pub(crate) async fn create(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Sqlite => sqlite::schema(),
        _ => postgres::schema(),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}

/// Updates what watches a table to the columns that are read now. Without a log, nothing watches.
pub(crate) async fn watch_columns_anew(
    manager: &SchemaManager<'_>,
    table: &str,
) -> Result<(), DbErr> {
    if !catalog::has_table(manager, "entitlement_changes").await? {
        return Ok(());
    }
    let connection = manager.get_connection();
    for watched in watched().iter().filter(|watched| watched.table == table) {
        if connection.get_database_backend() != DbBackend::Sqlite {
            connection.execute_unprepared(&postgres::changed(watched)).await?;
            continue;
        }
        for trigger in sqlite::triggers(watched) {
            connection
                .execute_unprepared(&format!("DROP TRIGGER IF EXISTS {}", trigger.name))
                .await?;
            connection.execute_unprepared(&trigger.create).await?;
        }
    }
    Ok(())
}

/// Makes the triggers on these tables of ours, which nobody else locks, if there is a log: those on the
/// ERP's are made one by one, once all steps are applied.
pub(crate) async fn watch_own_tables(
    manager: &SchemaManager<'_>,
    tables: &[&str],
) -> Result<(), DbErr> {
    if !catalog::has_table(manager, "entitlement_changes").await? {
        return Ok(());
    }
    let connection = manager.get_connection();
    let triggers = triggers(connection.get_database_backend());
    for trigger in triggers.iter().filter(|trigger| tables.contains(&trigger.table)) {
        connection.execute_unprepared(&trigger.create).await?;
    }
    Ok(())
}

/// The triggers of the log on PostgreSQL, each with its table.
pub(crate) fn log_triggers() -> Vec<(&'static str, String)> {
    postgres::triggers().into_iter().map(|trigger| (trigger.table, trigger.name)).collect()
}

/// Replaces the functions of the log with those of this program. Without a log, nothing runs them;
/// SQLite's triggers have none.
pub(crate) async fn replace_functions(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Sqlite
        || !catalog::has_table(manager, "entitlement_changes").await?
    {
        return Ok(());
    }
    manager.get_connection().execute_unprepared(&postgres::functions()).await?;
    Ok(())
}

/// Makes what remembers how far the log was folded, if there is a log that lacks it.
pub(crate) async fn remember_folding(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if !catalog::has_table(manager, "entitlement_changes").await?
        || catalog::has_table(manager, "entitlement_folding").await?
    {
        return Ok(());
    }
    let sql = match manager.get_database_backend() {
        DbBackend::Sqlite => sqlite::FOLDING.to_owned(),
        _ => postgres::upgrade_folding(),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}

/// Replaces the view of revisions with this program's, if there is a log.
pub(crate) async fn replace_view(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if !catalog::has_table(manager, "entitlement_changes").await? {
        return Ok(());
    }
    let backend = manager.get_database_backend();
    let sql = match backend {
        DbBackend::Sqlite => format!("DROP VIEW entitlement_revisions; CREATE {}", view(backend)),
        _ => format!("CREATE OR REPLACE {}", view(backend)),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(|_| ())
}

/// A trigger that does not fire as it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MissingTrigger {
    /// The table that it belongs to.
    pub table: &'static str,
    /// Its name.
    pub name: String,
    /// Does it fire for ordinary writers? Then only what replication workers write, and sessions that
    /// pose as one, goes unnoticed. Otherwise every change of its table does.
    pub fires_for_some: bool,
}

impl std::fmt::Display for MissingTrigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { table, name, fires_for_some } = self;
        if *fires_for_some {
            write!(
                f,
                "the trigger {name} of the table {table} does not fire where session_replication_role is replica; run: entitlementd migrate"
            )
        } else {
            write!(f, "the table {table} has no armed trigger {name}; run: entitlementd migrate")
        }
    }
}

/// Those of the log's triggers that do not fire for everybody, by how each is armed.
pub(crate) fn missing_triggers(
    backend: DbBackend,
    armed: &[(String, Arming)],
) -> Vec<MissingTrigger> {
    let arming = |trigger: &Trigger| {
        armed
            .iter()
            .find(|(name, _)| *name == trigger.name)
            .map_or(Arming::Off, |(_, arming)| *arming)
    };
    let mut missing = triggers(backend);
    missing.retain(|trigger| arming(trigger) != Arming::Always);
    let missing = missing.into_iter().map(|trigger| MissingTrigger {
        fires_for_some: arming(&trigger) == Arming::Ordinary,
        table: trigger.table,
        name: trigger.name,
    });
    missing.collect()
}

/// For whom a trigger fires.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Arming {
    /// For nobody.
    Off,
    /// For ordinary writers. `ENABLE TRIGGER ALL`, which ends many a restore, leaves it at that.
    Ordinary,
    /// For replication workers as well, and for sessions that pose as one.
    Always,
}

impl Arming {
    /// By the letter in `pg_trigger.tgenabled`.
    pub(crate) fn of(letter: &str) -> Self {
        match letter {
            "A" => Self::Always,
            "O" => Self::Ordinary,
            _ => Self::Off,
        }
    }
}

/// A query of the log's triggers that exist, `a`, and how each is armed, `b`.
pub(crate) fn arming_of_each(backend: DbBackend) -> String {
    match backend {
        DbBackend::Sqlite => sqlite::ARMED.to_owned(),
        _ => postgres::arming_of_each(),
    }
}

async fn armed(db: &impl ConnectionTrait) -> Result<Vec<(String, Arming)>, DbErr> {
    let backend = db.get_database_backend();
    let rows = db.query_all_raw(Statement::from_string(backend, arming_of_each(backend))).await?;
    let of = |row: &QueryResult| {
        Ok((row.try_get("", "a")?, Arming::of(&row.try_get::<String>("", "b")?)))
    };
    rows.iter().map(of).collect()
}

/// A PostgreSQL expression: do all triggers fire for ordinary writers? Cheap enough to be asked along
/// with the log.
pub fn all_triggers_armed() -> String {
    let (all, armed) = (postgres::triggers().len(), postgres::arming_of_each());
    format!("(SELECT count(*) = {all} FROM ({armed}) armed WHERE b IN ('O', 'A'))")
}

/// A PostgreSQL expression: a text that is another one once a trigger was switched off or on, made or
/// dropped, or a watched table was rewritten. What was written in between, or by that, may not be in
/// the log.
pub fn arming_of_triggers() -> String {
    format!("({})", postgres::arming())
}

/// A PostgreSQL query of the rows, `topic` and `tenant_id`, that one snapshot of the log shows and an
/// earlier one does not. Both are expressions.
pub fn news_between(seen: &str, now: &str) -> String {
    postgres::news(seen, now)
}

/// The id under which changes that concern no single tenant are logged: the nil UUID.
fn everyone(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "zeroblob(16)",
        _ => "'00000000-0000-0000-0000-000000000000'::uuid",
    }
}

/// An expression for a tenant's revision: the number of changes that were folded plus those in the
/// log, its own and those that concern everyone. `tenant` is an expression too.
pub fn revision_of(backend: DbBackend, tenant: &str) -> String {
    let [own, everyone] =
        [count(backend, topic::TENANT, tenant), count(backend, topic::TENANTS, everyone(backend))];
    format!("({own} + {everyone})")
}

/// An expression for the catalogue's revision.
pub fn catalogue_revision(backend: DbBackend) -> String {
    count(backend, topic::CATALOGUE, everyone(backend))
}

/// A count of changes. Whatever number was stored for folded changes, the sum does not overflow.
fn count(backend: DbBackend, topic: &str, tenant: &str) -> String {
    let [least, greatest] = match backend {
        DbBackend::Sqlite => ["min", "max"],
        _ => ["LEAST", "GREATEST"],
    };
    format!(
        "(COALESCE((SELECT {greatest}(0, {least}({MAX_FOLDED}, f.changes)) FROM entitlement_folded_changes f \
          WHERE f.tenant_id = {tenant} AND f.topic = '{topic}'), 0) \
          + (SELECT count(*) FROM entitlement_changes c WHERE c.tenant_id = {tenant} AND c.topic = '{topic}'))"
    )
}

/// Every tenant's revision, deleted ones included, for anyone who writes and wants to read the
/// result.
///
/// It does not name the ERP's table: with a view on it, PostgreSQL would not let the ERP drop that
/// table or change its columns.
fn view(backend: DbBackend) -> String {
    let revision = revision_of(backend, "s.tenant_id");
    format!(
        "VIEW entitlement_revisions AS
         SELECT s.tenant_id, {revision} AS revision
         FROM (SELECT tenant_id FROM entitlement_changes WHERE topic = 'tenant'
               UNION SELECT tenant_id FROM entitlement_folded_changes WHERE topic = 'tenant') s;"
    )
}
