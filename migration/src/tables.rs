//! The seven tables of the ERP's public schema, in the two variants that its programs make.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// What the names of tables begin with that are not the ERP's.
pub(crate) const OURS: &str = "entitlement";

/// A table to make where it is missing.
pub(crate) struct NewTable {
    pub(crate) name: &'static str,
    pub(crate) create: TableCreateStatement,
    pub(crate) indexes: Vec<IndexCreateStatement>,
}

/// Which of the ERP's programs reads the tables that are made. What exists is left as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variant {
    /// The running ERP's own models, and what it makes by itself at its first start: JSON in
    /// `tenant_metadata` and `metric_metadata`, and no unique keys on subscriptions and flags, for
    /// the ERP adds a second row where a module is subscribed to again.
    Erp,
    /// The ERP's Alembic migrations: JSON in `metadata`, and one row for each tenant and module.
    Alembic,
}

/// All tables, each after those that it refers to.
pub(crate) fn all(backend: DbBackend, variant: Variant) -> Vec<NewTable> {
    let on = On { backend, variant };
    vec![
        on.plans(),
        on.modules(),
        on.tenants(),
        on.tenant_subscriptions(),
        on.feature_flags(),
        on.billing_history(),
        on.usage_metrics(),
    ]
}

/// The tables for one kind of database.
struct On {
    backend: DbBackend,
    variant: Variant,
}

impl On {
    fn plans(&self) -> NewTable {
        let mut create = self.table("plans");
        create
            .col(string("name", 100).not_null())
            .col(string("slug", 50).not_null().unique_key())
            .col(string("type", 20).not_null())
            .col(string("billing_cycle", 20))
            .col(money("price_inr"))
            .col(money("original_price_inr"))
            .col(integer("discount_percent").not_null().default(0))
            .col(json("included_modules", "[]"))
            .col(integer("max_users"))
            .col(integer("max_transactions_monthly"))
            .col(json("features", "[]"))
            .col(flag("is_active", true))
            .col(flag("is_popular", false))
            .col(integer("display_order"));
        self.stamped("plans", create, &["slug", "type"])
    }

    fn modules(&self) -> NewTable {
        let mut create = self.table("modules");
        create
            .col(string("code", 50).not_null().unique_key())
            .col(string("name", 100).not_null())
            .col(ColumnDef::new("description").text())
            .col(string("category", 50))
            .col(string("icon", 50))
            .col(string("color", 20))
            .col(integer("display_order"))
            .col(money("price_monthly"))
            .col(money("price_yearly"))
            .col(flag("is_base_module", false));
        for list in [
            "dependencies",
            "sections",
            "database_tables",
            "api_endpoints",
            "frontend_routes",
            "features",
        ] {
            create.col(json(list, "[]"));
        }
        create.col(flag("is_active", true));
        self.stamped("modules", create, &["code", "category"])
    }

    fn tenants(&self) -> NewTable {
        let mut create = self.table("tenants");
        create
            .col(string("name", 255).not_null())
            .col(string("subdomain", 100).not_null().unique_key())
            .col(string("database_schema", 100).not_null())
            .col(string("status", 20).not_null().default("active"))
            .col(self.reference("plan_id"))
            .col(instant("trial_ends_at"))
            .col(instant("onboarded_at").not_null().default(now(self.backend)))
            .col(json("settings", "{}"))
            .col(self.metadata("tenant_metadata"))
            .foreign_key(&mut foreign_key(
                "tenants",
                "plan_id",
                "plans",
                ForeignKeyAction::SetNull,
            ));
        self.stamped("tenants", create, &["subdomain", "status"])
    }

    fn tenant_subscriptions(&self) -> NewTable {
        let name = "tenant_subscriptions";
        let mut create = self.table(name);
        create
            .col(self.reference("tenant_id").not_null())
            .col(self.reference("module_id").not_null())
            .col(self.reference("plan_id"))
            .col(string("status", 20).not_null().default("active"))
            .col(string("subscription_type", 20))
            .col(string("billing_cycle", 20))
            .col(money("price_paid"))
            .col(instant("starts_at").not_null())
            .col(instant("expires_at"))
            .col(flag("is_trial", false))
            .col(instant("trial_ends_at"))
            .col(flag("auto_renew", true))
            .col(json("settings", "{}"))
            .foreign_key(&mut foreign_key(name, "tenant_id", "tenants", ForeignKeyAction::Cascade))
            .foreign_key(&mut foreign_key(name, "module_id", "modules", ForeignKeyAction::Cascade))
            .foreign_key(&mut foreign_key(name, "plan_id", "plans", ForeignKeyAction::SetNull));
        self.unique(&mut create, "uq_tenant_module", &["tenant_id", "module_id"]);
        self.stamped(name, create, &["tenant_id", "module_id", "status"])
    }

    fn feature_flags(&self) -> NewTable {
        let name = "feature_flags";
        let mut create = self.table(name);
        create
            .col(self.reference("tenant_id").not_null())
            .col(string("module_code", 50).not_null())
            .col(string("feature_key", 100).not_null())
            .col(flag("is_enabled", false))
            .col(json("config", "{}"))
            .foreign_key(&mut foreign_key(name, "tenant_id", "tenants", ForeignKeyAction::Cascade));
        let key = ["tenant_id", "module_code", "feature_key"];
        self.unique(&mut create, "uq_tenant_feature", &key);
        self.stamped(name, create, &["tenant_id", "module_code"])
    }

    fn billing_history(&self) -> NewTable {
        let name = "billing_history";
        let mut create = self.table(name);
        create
            .col(self.reference("tenant_id").not_null())
            .col(string("invoice_number", 50).not_null().unique_key())
            .col(instant("billing_period_start").not_null())
            .col(instant("billing_period_end").not_null())
            .col(money("amount").not_null())
            .col(money("tax_amount").not_null().default(0))
            .col(money("total_amount").not_null())
            .col(string("status", 20).not_null().default("pending"))
            .col(string("payment_method", 50))
            .col(string("payment_transaction_id", 255))
            .col(json("invoice_data", "{}"))
            .col(instant("paid_at"))
            .col(instant("due_date"))
            .foreign_key(&mut foreign_key(name, "tenant_id", "tenants", ForeignKeyAction::Cascade));
        self.stamped(name, create, &["tenant_id", "status", "invoice_number"])
    }

    fn usage_metrics(&self) -> NewTable {
        let name = "usage_metrics";
        let mut create = self.table(name);
        create
            .col(self.reference("tenant_id").not_null())
            .col(string("module_code", 50))
            .col(string("metric_type", 50))
            .col(ColumnDef::new("metric_value").decimal_len(15, 2))
            .col(instant("recorded_at").not_null().default(now(self.backend)))
            .col(self.metadata("metric_metadata"))
            .foreign_key(&mut foreign_key(name, "tenant_id", "tenants", ForeignKeyAction::Cascade));
        NewTable {
            name,
            create,
            indexes: indexes(name, &["tenant_id", "module_code", "recorded_at"]),
        }
    }

    fn table(&self, name: &'static str) -> TableCreateStatement {
        let mut id = self.reference("id");
        id.not_null().primary_key().default(new_id(self.backend));
        Table::create().table(name).col(&mut id).to_owned()
    }

    fn stamped(
        &self,
        name: &'static str,
        mut create: TableCreateStatement,
        indexed: &[&'static str],
    ) -> NewTable {
        for stamp in ["created_at", "updated_at"] {
            create.col(instant(stamp).not_null().default(now(self.backend)));
        }
        NewTable { name, create, indexes: indexes(name, indexed) }
    }

    /// The JSON that nobody but the ERP reads: `name` is what its models call it.
    fn metadata(&self, name: &'static str) -> ColumnDef {
        json(if self.variant == Variant::Erp { name } else { "metadata" }, "{}")
    }

    /// A unique key, in the variant that has them.
    fn unique(&self, create: &mut TableCreateStatement, name: &str, columns: &[&'static str]) {
        if self.variant == Variant::Alembic {
            let mut key = Index::create().name(name).unique().to_owned();
            for column in columns {
                key.col(*column);
            }
            create.index(&mut key);
        }
    }

    /// A column that holds a UUID.
    fn reference(&self, name: &'static str) -> ColumnDef {
        let mut column = ColumnDef::new(name).uuid().to_owned();
        if self.backend == DbBackend::Sqlite {
            // SQLite would accept an id written as text, and no statement would ever find it.
            column.check(Expr::cust(format!(
                "typeof({name}) IN ('blob', 'null') AND length({name}) = 16"
            )));
        }
        column
    }
}

/// A new UUID, made by the database.
pub(crate) fn new_id(backend: DbBackend) -> SimpleExpr {
    Expr::cust(match backend {
        DbBackend::Sqlite => "(randomblob(16))",
        _ => "gen_random_uuid()",
    })
}

/// The current instant, by the database's clock. SQLite's CURRENT_TIMESTAMP has a different format
/// from the instants that programs write, and sorts differently.
pub(crate) fn now(backend: DbBackend) -> SimpleExpr {
    Expr::cust(match backend {
        DbBackend::Sqlite => "(strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'))",
        _ => "now()",
    })
}

fn indexes(table: &'static str, columns: &[&'static str]) -> Vec<IndexCreateStatement> {
    let index = |column: &&'static str| {
        Index::create().name(format!("idx_{table}_{column}")).table(table).col(*column).to_owned()
    };
    columns.iter().map(index).collect()
}

fn foreign_key(
    from: &'static str,
    column: &'static str,
    to: &'static str,
    gone: ForeignKeyAction,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("fk_{from}_{column}"))
        .from(from, column)
        .to(to, "id")
        .on_delete(gone)
        .to_owned()
}

fn string(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).to_owned()
}

fn integer(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().to_owned()
}

fn money(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).decimal_len(10, 2).to_owned()
}

fn flag(name: &'static str, default: bool) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().default(default).to_owned()
}

fn instant(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).timestamp_with_time_zone().to_owned()
}

fn json(name: &'static str, default: &'static str) -> ColumnDef {
    ColumnDef::new(name).json_binary().not_null().default(default).to_owned()
}
