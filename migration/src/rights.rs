//! Who may do what with the objects of ours, on PostgreSQL.
//!
//! The schema is the ERP's, and shared: what a new table or function is granted to there, by
//! default or by PostgreSQL's own rules, is not for us to rely on. So each migration takes every
//! right from everybody but the owner, and gives those that are needed to roles of ours, which a
//! database's owner gives to the roles that log in.

mod doors;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

pub use self::doors::OpenDoor;
pub(crate) use self::doors::query as open_doors;
use crate::changes::DEFINERS;

/// Roles that nobody logs in as. They are the cluster's, and mean the same in each of its
/// databases.
pub mod roles {
    /// May read what the server reads of ours, and fold the log.
    pub const SERVER: &str = "entitlementd_server";
    /// May also do what administrators do with the tables of ours.
    pub const ADMIN: &str = "entitlementd_admin";
    /// May read the revisions, for whoever writes and then wants to read what it wrote.
    pub const WRITER: &str = "entitlementd_writer";
    /// May count usage, and read what is counted.
    pub const USAGE: &str = "entitlementd_usage";
    /// May count usage in transactions of its own, by `entitlement_count`.
    pub const COUNT: &str = "entitlementd_count";
    /// Owns the functions that writers run, and may only add to the logs.
    pub const LOG: &str = "entitlementd_log";

    pub(super) const ALL: [&str; 6] = [SERVER, ADMIN, WRITER, USAGE, COUNT, LOG];
}

/// What a right is a right on.
#[derive(Clone, Copy)]
enum On {
    /// Or a view.
    Table(&'static str),
    /// With the types of its parameters: `fold()`.
    Function(&'static str),
}

impl On {
    /// As `GRANT` names it.
    fn object(self) -> String {
        match self {
            Self::Table(name) => format!("TABLE public.{name}"),
            Self::Function(name) => format!("FUNCTION public.{name}"),
        }
    }

    /// An expression: is it there?
    fn is_there(self) -> String {
        match self {
            Self::Table(name) => format!("to_regclass('public.{name}') IS NOT NULL"),
            Self::Function(name) => format!("to_regprocedure('public.{name}') IS NOT NULL"),
        }
    }
}

/// Every right that somebody else than the owner has on an object of ours.
const RIGHTS: [(&str, &str, On); 52] = [
    (roles::LOG, "INSERT", On::Table("entitlement_changes")),
    (roles::WRITER, "SELECT", On::Table("entitlement_revisions")),
    (roles::SERVER, "SELECT", On::Table("entitlement_changes")),
    (roles::SERVER, "SELECT", On::Table("entitlement_folded_changes")),
    (roles::SERVER, "SELECT", On::Table("entitlement_module_aliases")),
    (roles::SERVER, "SELECT", On::Table("entitlement_features")),
    (roles::SERVER, "SELECT", On::Table("entitlement_plan_features")),
    (roles::SERVER, "SELECT", On::Table("entitlement_limits")),
    (roles::SERVER, "SELECT", On::Table("entitlement_plan_limits")),
    (roles::SERVER, "SELECT", On::Table("entitlement_limit_overrides")),
    (roles::SERVER, "SELECT", On::Table("entitlement_kept_features")),
    (roles::SERVER, "SELECT", On::Table("entitlement_kept_limits")),
    (roles::SERVER, "SELECT", On::Table("entitlement_time_zones")),
    (roles::USAGE, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_usage_counters")),
    (roles::USAGE, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_usage_keys")),
    (roles::USAGE, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_usage_quarters")),
    (roles::USAGE, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_usage_days")),
    (roles::USAGE, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_usage_producers")),
    (roles::USAGE, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_usage_nights")),
    (roles::USAGE, "SELECT, UPDATE, DELETE", On::Table("entitlement_usage_log")),
    (roles::USAGE, "EXECUTE", On::Function(USAGE_FIND)),
    (roles::USAGE, "EXECUTE", On::Function(USAGE_WRITE)),
    (roles::USAGE, "EXECUTE", On::Function(USAGE_TAKE)),
    (roles::USAGE, "EXECUTE", On::Function(USAGE_RECORD)),
    (roles::LOG, "INSERT", On::Table("entitlement_usage_log")),
    (roles::COUNT, "EXECUTE", On::Function(COUNT_TYPED)),
    (roles::SERVER, "SELECT", On::Table("entitlementd_migrations")),
    (roles::SERVER, "SELECT", On::Table("entitlement_folding")),
    (roles::SERVER, "EXECUTE", On::Function("entitlement_fold()")),
    (roles::SERVER, "EXECUTE", On::Function("entitlement_fold_step()")),
    (roles::ADMIN, "SELECT", On::Table("entitlement_changes")),
    (roles::ADMIN, "SELECT", On::Table("entitlement_folded_changes")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_module_aliases")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_features")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_plan_features")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_limits")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_plan_limits")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_limit_overrides")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_kept_features")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_kept_limits")),
    (roles::ADMIN, "SELECT, INSERT, UPDATE, DELETE", On::Table("entitlement_time_zones")),
    (roles::ADMIN, "SELECT, DELETE", On::Table("entitlement_usage_counters")),
    (roles::ADMIN, "SELECT, DELETE", On::Table("entitlement_usage_keys")),
    (roles::ADMIN, "SELECT, DELETE", On::Table("entitlement_usage_quarters")),
    (roles::ADMIN, "SELECT, DELETE", On::Table("entitlement_usage_days")),
    (roles::ADMIN, "SELECT, UPDATE, DELETE", On::Table("entitlement_usage_log")),
    (roles::ADMIN, "SELECT", On::Table("entitlementd_migrations")),
    (roles::ADMIN, "SELECT, INSERT", On::Table("entitlement_audit")),
    (roles::ADMIN, "SELECT", On::Table("entitlement_revisions")),
    (roles::ADMIN, "SELECT", On::Table("entitlement_folding")),
    (roles::ADMIN, "EXECUTE", On::Function("entitlement_fold()")),
    (roles::ADMIN, "EXECUTE", On::Function("entitlement_fold_step()")),
];

/// Tables and views of ours. Their sequences are found by them.
const RELATIONS: [&str; 23] = [
    "entitlement_changes",
    "entitlement_folded_changes",
    "entitlement_horizons",
    "entitlement_folding",
    "entitlement_revisions",
    "entitlement_audit",
    "entitlement_module_aliases",
    "entitlement_features",
    "entitlement_plan_features",
    "entitlement_limits",
    "entitlement_plan_limits",
    "entitlement_limit_overrides",
    "entitlement_kept_features",
    "entitlement_kept_limits",
    "entitlement_time_zones",
    "entitlement_usage_counters",
    "entitlement_usage_keys",
    "entitlement_usage_quarters",
    "entitlement_usage_days",
    "entitlement_usage_producers",
    "entitlement_usage_nights",
    "entitlement_usage_log",
    "entitlementd_migrations",
];

/// Functions of ours that run with the rights of whoever calls them, or that no trigger calls.
const OTHER_FUNCTIONS: [&str; 9] = [
    "entitlement_announce",
    "entitlement_fold",
    "entitlement_fold_step",
    "entitlement_audit_keeps",
    "entitlement_usage_find",
    "entitlement_usage_write",
    "entitlement_usage_take",
    "entitlement_usage_record",
    COUNT,
];

/// What the ERP's own transactions count with. It runs with its owner's rights.
const COUNT: &str = "entitlement_count";
const COUNT_TYPED: &str = "entitlement_count(uuid, text, text, bigint, text)";

/// What the functions that count are granted by: a name, and the types as PostgreSQL writes them.
const USAGE_FIND: &str = "entitlement_usage_find(uuid[], text[], uuid[], text[], text[], text[], boolean, timestamp with time zone)";
const USAGE_WRITE: &str = "entitlement_usage_write(\
    uuid[], text[], text[], text[], text[], bigint[], bigint[], text[], bigint[], bigint[], bigint[], text[], text[], text[], text[], \
    uuid[], text[], text[], bigint[], bigint[], \
    uuid[], text[], text[], bigint[], text[], bigint[], bigint[], bigint[], bigint[], timestamp with time zone)";

const USAGE_RECORD: &str = "entitlement_usage_record(\
    uuid[], text[], text[], text[], text[], bigint[], bigint[], text[], \
    uuid[], text[], text[], bigint[], \
    uuid[], text[], text[], bigint[], text[], bigint[], bigint[], bigint[], bigint[], timestamp with time zone)";

const USAGE_TAKE: &str = "entitlement_usage_take(\
    uuid, text, text, text, text, bigint, text, bigint, bigint, text, bigint, bigint, text, timestamp with time zone)";

/// Takes every right on the objects of ours from everybody but their owner, and gives those that
/// are needed to the roles of ours, which are made where the one who migrates may. What he may not
/// do stays as it is: see [`open_doors`].
pub(crate) async fn secure(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    if connection.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    // Nobody else's functions and operators are found, however well they fit.
    connection.execute_unprepared("SET LOCAL search_path = pg_catalog").await?;
    for statement in [make_roles(), revoke_surplus(), grant_all(), hand_over()] {
        connection.execute_unprepared(&statement).await?;
    }
    connection.execute_unprepared("SET LOCAL search_path = public").await.map(|_| ())
}

/// Runs a statement for each row of a query, as far as the one who migrates may. `statement` is an
/// expression over `item`.
fn for_each(query: &str, statement: &str) -> String {
    format!(
        "DO $do$
         DECLARE item record;
         BEGIN
            FOR item IN {query} LOOP
                BEGIN
                    EXECUTE {statement};
                -- Roles are the cluster's: another database may be migrated at the same time.
                EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
                    NULL;
                END;
            END LOOP;
         END
         $do$"
    )
}

fn make_roles() -> String {
    let missing = format!(
        "SELECT wanted.name FROM unnest(ARRAY[{}]) wanted (name)
         WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)",
        quoted(&roles::ALL)
    );
    for_each(&missing, "format('CREATE ROLE %I NOLOGIN', item.name)")
}

fn revoke_surplus() -> String {
    let surplus = format!("SELECT DISTINCT object, grantee FROM ({}) surplus", surplus());
    for_each(&surplus, "format('REVOKE ALL ON %s FROM %s CASCADE', item.object, item.grantee)")
}

fn grant_all() -> String {
    let rights = RIGHTS.iter().map(|(role, privileges, on)| {
        format!("('{role}', '{privileges}', '{}', {})", on.object(), on.is_there())
    });
    let wanted = format!(
        "SELECT wanted.* FROM (VALUES {}) wanted (role, privileges, object, is_there)
         JOIN pg_roles ON rolname = wanted.role WHERE wanted.is_there",
        rights.collect::<Vec<_>>().join(", ")
    );
    let grant = for_each(
        &wanted,
        "format('GRANT %s ON %s TO %I', item.privileges, item.object, item.role)",
    );
    // Whoever closes the schema to everybody would stop the ERP's writers: their triggers run as
    // this role.
    let enter = for_each(
        &format!("SELECT rolname FROM pg_roles WHERE rolname IN ({})", quoted(&roles::ALL)),
        "format('GRANT USAGE ON SCHEMA public TO %I', item.rolname)",
    );
    format!("{grant}; {enter}")
}

/// Gives the functions that writers run with their owner's rights to the role that may do nothing
/// but add to the log.
///
/// A row-level security that somebody turns on for a log must not stop the ERP's writers, hence the
/// policies.
fn hand_over() -> String {
    let (log, changes) = (roles::LOG, "public.entitlement_changes");
    let policy = format!(
        "SELECT logs.name FROM (VALUES ('{changes}'), ('public.entitlement_usage_log')) logs (name)
         JOIN pg_roles ON rolname = '{log}'
         WHERE to_regclass(logs.name) IS NOT NULL AND NOT EXISTS
            (SELECT FROM pg_policy WHERE polrelid = to_regclass(logs.name) AND polname = '{log}')"
    );
    let policy = for_each(
        &policy,
        &format!(
            "format('CREATE POLICY {log} ON %s FOR INSERT TO {log} WITH CHECK (true)', item.name)"
        ),
    );
    let is_super = "(SELECT rolsuper FROM pg_roles WHERE rolname = current_user)";
    let join = for_each(
        &format!(
            "SELECT FROM pg_roles WHERE rolname = '{log}' AND NOT {is_super} AND NOT pg_has_role(oid, 'MEMBER')"
        ),
        &format!("'GRANT {log} TO CURRENT_USER'"),
    );
    // By their types too: others may have functions of the same name.
    let definers = DEFINERS.iter().map(|name| format!("{name}()"));
    let definers: Vec<String> = definers.chain([COUNT_TYPED.to_owned()]).collect();
    // A new owner must be able to make functions there, but for a moment, unless a superuser hands
    // over.
    let owned = format!(
        "SELECT p.oid::regprocedure AS function, NOT {is_super} AND NOT has_schema_privilege(log.oid, 'public', 'CREATE') AS lends
         FROM pg_proc p JOIN pg_roles log ON log.rolname = '{log}'
         WHERE p.oid IN (SELECT to_regprocedure('public.' || wanted.name) FROM unnest(ARRAY[{}]) wanted (name)) AND p.proowner <> log.oid
           AND has_table_privilege(log.oid, to_regclass('{changes}'), 'INSERT')
           AND has_schema_privilege(log.oid, 'public', 'USAGE')",
        quoted(&definers.iter().map(String::as_str).collect::<Vec<_>>())
    );
    let hand_over = for_each(
        &owned,
        &format!(
            "concat(CASE WHEN item.lends THEN 'GRANT CREATE ON SCHEMA public TO {log}; ' END,
                    format('ALTER FUNCTION %s OWNER TO {log}', item.function),
                    CASE WHEN item.lends THEN '; REVOKE CREATE ON SCHEMA public FROM {log}' END)"
        ),
    );
    format!("{policy}; {join}; {hand_over}")
}

/// A query of the rights on objects of ours that somebody else than the owner has and that are not
/// among those that we give, also on single columns.
fn surplus() -> String {
    let given: Vec<String> = RIGHTS
        .iter()
        .flat_map(|(role, privileges, on)| {
            let right = move |privilege| format!("('{role}', '{privilege}', '{}')", on.object());
            privileges.split(", ").map(right)
        })
        .collect();
    format!(
        "SELECT held.object, held.privilege, held.grantee FROM (
            SELECT o.object, a.privilege_type AS privilege,
                   CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee
            FROM ({}) o, aclexplode(o.acl) a WHERE a.grantee <> o.owner) held
         WHERE (held.grantee, held.privilege, held.object) NOT IN (VALUES {})",
        objects(),
        given.join(", ")
    )
}

/// A query of the objects of ours, with their owners and the rights on them.
fn objects() -> String {
    let ours = format!(
        "c.relnamespace = 'public'::regnamespace AND c.relname IN ({})",
        quoted(&RELATIONS)
    );
    let functions = [&DEFINERS[..], &OTHER_FUNCTIONS].concat();
    format!(
        "SELECT format('TABLE public.%I', c.relname) AS object, c.relowner AS owner,
                COALESCE(c.relacl, acldefault('r', c.relowner)) AS acl
         FROM pg_class c WHERE {ours}
         UNION ALL
         SELECT format('TABLE public.%I', c.relname), c.relowner, a.attacl
         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE {ours} AND a.attacl IS NOT NULL
         UNION ALL
         SELECT format('SEQUENCE public.%I', s.relname), s.relowner, COALESCE(s.relacl, acldefault('s', s.relowner))
         FROM pg_class c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
         JOIN pg_class s ON d.classid = 'pg_class'::regclass AND s.oid = d.objid AND s.relkind = 'S' WHERE {ours}
         UNION ALL
         SELECT format('FUNCTION public.%I(%s)', p.proname, oidvectortypes(p.proargtypes)), p.proowner,
                COALESCE(p.proacl, acldefault('f', p.proowner))
         FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ({})",
        quoted(&functions)
    )
}

pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}
