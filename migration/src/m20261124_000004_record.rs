//! Step 4: the record of what administrators did. Rows are added, and never changed or removed.

use sea_orm_migration::{
    prelude::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = match manager.get_database_backend() {
            DbBackend::Sqlite => [SQLITE_TABLE, INDEXES, SQLITE_TRIGGERS],
            _ => [POSTGRES_TABLE, INDEXES, POSTGRES_TRIGGERS],
        };
        manager.get_connection().execute_unprepared(&sql.concat()).await.map(|_| ())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        crate::never_down()
    }
}

/// A tenant's id is not a foreign key: the record outlives the tenant.
const POSTGRES_TABLE: &str = "
    CREATE TABLE entitlement_audit (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        made_at timestamptz NOT NULL,
        actor_kind text NOT NULL,
        actor text NOT NULL,
        action text NOT NULL,
        tenant_id uuid,
        subject text NOT NULL,
        reason text,
        request jsonb NOT NULL,
        before jsonb,
        after jsonb,
        request_id text
    );
    COMMENT ON TABLE entitlement_audit IS
        'What administrators did: who, when, what, why, and what was before and after. Rows are never changed or removed.';
";

const SQLITE_TABLE: &str = "
    CREATE TABLE entitlement_audit (
        -- AUTOINCREMENT: an id is never given again.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        made_at TEXT NOT NULL,
        actor_kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        tenant_id BLOB,
        subject TEXT NOT NULL,
        reason TEXT,
        request TEXT NOT NULL,
        before TEXT,
        after TEXT,
        request_id TEXT
    );
";

/// By tenant, by actor, by time, and by the id of a request that may be repeated.
const INDEXES: &str = "
    CREATE INDEX entitlement_audit_tenant ON entitlement_audit (tenant_id, id);
    CREATE INDEX entitlement_audit_actor ON entitlement_audit (actor, id);
    CREATE INDEX entitlement_audit_made_at ON entitlement_audit (made_at);
    CREATE INDEX entitlement_audit_request ON entitlement_audit (request_id, id) WHERE request_id IS NOT NULL;
";

/// The triggers of the record on PostgreSQL, each with its table.
pub(crate) const TRIGGERS: [(&str, &str); 2] = [
    ("entitlement_audit", "entitlement_audit_keeps_rows"),
    ("entitlement_audit", "entitlement_audit_keeps_all"),
];

/// ALWAYS: setting `session_replication_role` does not bypass them.
const POSTGRES_TRIGGERS: &str = "
    CREATE FUNCTION entitlement_audit_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'entitlement_audit is a record: rows are added, and never changed or removed';
    END $$;
    CREATE TRIGGER entitlement_audit_keeps_rows BEFORE UPDATE OR DELETE ON entitlement_audit
        FOR EACH ROW EXECUTE FUNCTION entitlement_audit_keeps();
    CREATE TRIGGER entitlement_audit_keeps_all BEFORE TRUNCATE ON entitlement_audit
        FOR EACH STATEMENT EXECUTE FUNCTION entitlement_audit_keeps();
    ALTER TABLE entitlement_audit ENABLE ALWAYS TRIGGER entitlement_audit_keeps_rows;
    ALTER TABLE entitlement_audit ENABLE ALWAYS TRIGGER entitlement_audit_keeps_all;
";

/// SQLite has no TRUNCATE: a DELETE of all rows fires these triggers too.
const SQLITE_TRIGGERS: &str = "
    CREATE TRIGGER audit_keeps_on_update BEFORE UPDATE ON entitlement_audit BEGIN
        SELECT RAISE(ABORT, 'entitlement_audit is a record: rows are added, and never changed or removed');
    END;
    CREATE TRIGGER audit_keeps_on_delete BEFORE DELETE ON entitlement_audit BEGIN
        SELECT RAISE(ABORT, 'entitlement_audit is a record: rows are added, and never changed or removed');
    END;
    -- INSERT OR REPLACE removes a row without a word to the trigger above.
    CREATE TRIGGER audit_keeps_on_insert BEFORE INSERT ON entitlement_audit
        WHEN EXISTS (SELECT 1 FROM entitlement_audit WHERE id = NEW.id) BEGIN
        SELECT RAISE(ABORT, 'entitlement_audit is a record: rows are added, and never changed or removed');
    END;
";
