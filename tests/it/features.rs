//! CheckFeature, BatchCheckFeatures, and features in lists.

use entitlementd::proto::v1::{
    BatchCheckFeaturesRequest, CheckFeatureRequest, CheckFeatureResponse, DecisionReason,
    FeatureDecision, FeatureName, FeatureReason, ListEnabledModulesRequest,
};
use prost_types::{Value, value::Kind};
use tonic::Code;

use crate::{
    harness::{Database, Row, Server, id, instant, process, reason_of},
    on_both,
};

/// A feature as SQL writes it down.
pub struct Defined<'a> {
    pub key: &'a str,
    pub value_type: &'a str,
    pub is_on: bool,
    pub value: &'a str,
}

impl Default for Defined<'_> {
    fn default() -> Self {
        Self { key: "multi_currency", value_type: "json", is_on: false, value: "NULL" }
    }
}

impl Database {
    pub async fn define(&self, module: &str, defined: Defined<'_>) {
        let Defined { key, value_type, is_on, value } = defined;
        self.execute(&format!(
            "INSERT INTO entitlement_features (module_id, key, value_type, default_enabled, default_value)
             SELECT id, '{key}', '{value_type}', {is_on}, {value} FROM modules WHERE code = '{module}'"
        ))
        .await;
    }

    pub async fn plan_says(&self, plan: &str, module: &str, key: &str, is_on: bool, value: &str) {
        self.execute(&format!(
            "INSERT INTO entitlement_plan_features (plan_id, module_id, key, enabled, value)
             SELECT p.id, m.id, '{key}', {is_on}, {value} FROM plans p, modules m
             WHERE p.slug = '{plan}' AND m.code = '{module}'"
        ))
        .await;
    }

    /// `is_on` and `config` are SQL.
    pub async fn flag(&self, tenant: u32, module: &str, key: &str, is_on: &str, config: &str) {
        let tenant = self.uuid(&id(tenant));
        self.execute(&format!(
            "INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled, config)
             VALUES ({tenant}, '{module}', '{key}', {is_on}, {config})"
        ))
        .await;
    }

    /// What the tenant keeps of the plan that it is on, about a feature of finance. `is_on` and
    /// `value` are SQL.
    pub async fn keep_feature(&self, tenant: u32, key: &str, is_on: &str, value: &str) {
        let tenant = self.uuid(&id(tenant));
        self.execute(&format!(
            "INSERT INTO entitlement_kept_features (tenant_id, plan_id, module_id, key, enabled, value, kept_at)
             SELECT t.id, t.plan_id, m.id, '{key}', {is_on}, {value}, '2026-11-20T00:00:00+00:00' FROM tenants t, modules m
             WHERE t.id = {tenant} AND m.code = 'finance'"
        ))
        .await;
    }

    pub async fn put_on_plan(&self, tenant: u32, plan: &str) {
        let tenant = self.uuid(&id(tenant));
        self.execute(&format!(
            "UPDATE tenants SET plan_id = (SELECT id FROM plans WHERE slug = '{plan}') WHERE id = {tenant}"
        ))
        .await;
    }
}

fn request(module: &str, key: &str) -> CheckFeatureRequest {
    CheckFeatureRequest {
        tenant_id: id(1),
        module_code: module.to_owned(),
        feature_key: key.to_owned(),
        ..Default::default()
    }
}

async fn ask(server: &mut Server, request: CheckFeatureRequest) -> CheckFeatureResponse {
    server.client.check_feature(request).await.unwrap().into_inner()
}

/// What is decided past the cache: the rows were written a moment ago.
async fn decide(server: &mut Server, module: &str, key: &str) -> FeatureDecision {
    let fresh = CheckFeatureRequest { min_revision: Some(1), ..request(module, key) };
    // What there is and what plans say is believed for `--cache-ttl`, where nobody says that it
    // has changed.
    server.outlive_the_catalogue(301).await;
    ask(server, fresh).await.decision.unwrap()
}

fn value(kind: Kind) -> Option<Value> {
    Some(Value { kind: Some(kind) })
}

on_both! {
    async fn tenant_plan_and_default_decide_in_this_order(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        let unknown = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!((unknown.enabled, unknown.reason()), (false, FeatureReason::NotFound));
        assert_eq!(unknown.module_reason(), DecisionReason::Enabled);
        assert_eq!(unknown.message, "There is no feature 'multi_currency' in module 'finance'.");

        database.define("finance", Defined { value: "'7'", ..Defined::default() }).await;
        let off = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!((off.enabled, off.reason(), off.value), (false, FeatureReason::Default, None));
        assert!(off.plan_slugs.is_empty(), "{:?}", off.plan_slugs);

        database.plan_says("growth", "finance", "multi_currency", true, "NULL").await;
        let off = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!(off.reason(), FeatureReason::Default);
        assert_eq!(off.plan_slugs, ["growth"]);

        database.plan_says("starter", "finance", "multi_currency", true, "'8'").await;
        let on = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!((on.enabled, on.reason()), (true, FeatureReason::Plan));
        assert_eq!((on.value, on.message.as_str()), (value(Kind::NumberValue(8.0)), ""));

        // A flag without a value of its own leaves that to the plan.
        database.flag(1, "finance", "multi_currency", "true", "'{}'").await;
        let on = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!((on.reason(), on.value), (FeatureReason::Tenant, value(Kind::NumberValue(8.0))));
        database.execute("UPDATE feature_flags SET config = '9'").await;
        let on = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!((on.reason(), on.value), (FeatureReason::Tenant, value(Kind::NumberValue(9.0))));
        database.execute("UPDATE feature_flags SET is_enabled = false").await;
        let off = decide(&mut server, "finance", "multi_currency").await;
        assert_eq!((off.enabled, off.reason(), off.value), (false, FeatureReason::Tenant, None));
        assert!(off.plan_slugs.is_empty(), "no plan changes what was switched off by hand");
    }

    async fn a_feature_is_off_where_its_module_is_denied_and_ends_with_it(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row { expires: Some(400), ..Row::default() }).await;
        database.define("finance", Defined { is_on: true, ..Defined::default() }).await;
        database.define("hrms", Defined { is_on: true, ..Defined::default() }).await;
        server.outlive_the_catalogue(301).await;
        let on = ask(&mut server, request("finance", "multi_currency")).await;
        assert!(on.decision.unwrap().enabled);
        let end = on.freshness.unwrap().valid_until.unwrap();
        assert_eq!(end.seconds, instant(400).timestamp());
        let mut at_the_end = request("finance", "multi_currency");
        at_the_end.at = Some(end);
        let off = ask(&mut server, at_the_end).await.decision.unwrap();
        assert_eq!((off.enabled, off.reason()), (false, FeatureReason::ModuleDenied));
        assert_eq!(off.module_reason(), DecisionReason::SubscriptionExpired);

        let never = decide(&mut server, "hrms", "multi_currency").await;
        assert_eq!(never.module_reason(), DecisionReason::NotSubscribed);
        assert!(!never.plan_slugs.is_empty() && !never.message.is_empty(), "{never:?}");
        let mut nobody = request("finance", "multi_currency");
        nobody.tenant_id = id(7);
        let nobody = ask(&mut server, nobody).await.decision.unwrap();
        assert_eq!(nobody.module_reason(), DecisionReason::TenantNotFound);
    }

    async fn rows_that_nobody_would_write_are_read_safely(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        // Some of the ERP's programs allow NULL there; SQLite cannot be taught to.
        let null = if database.is_sqlite() { ["false", "'{}'"] } else { ["NULL", "NULL"] };
        for column in ["is_enabled", "config"].iter().filter(|_| !database.is_sqlite()) {
            let sql = format!("ALTER TABLE feature_flags ALTER COLUMN {column} DROP NOT NULL");
            database.execute(&sql).await;
        }
        for (key, is_on, config) in [
            ("null", null[0], null[1]),
            ("twice", "true", "'1'"),
            ("twice", "false", "'2'"),
            ("object", "true", "'{\"a\": [1, \"b\", null]}'"),
            ("null_value", "true", "'null'"),
            ("float", "true", "'1.5'"),
            ("text", "true", "'\"Zürich\"'"),
        ] {
            database.flag(1, "finance", key, is_on, config).await;
        }
        for (key, value_type) in [("float", "int64"), ("object", "string"), ("text", "string")] {
            database.define("finance", Defined { key, value_type, ..Defined::default() }).await;
        }
        let null = decide(&mut server, "finance", "null").await;
        assert_eq!((null.enabled, null.reason()), (false, FeatureReason::Tenant));
        let twice = decide(&mut server, "finance", "twice").await;
        assert_eq!((twice.enabled, twice.value), (true, value(Kind::NumberValue(1.0))));
        let none = decide(&mut server, "finance", "null_value").await;
        assert_eq!((none.enabled, none.value), (true, None));
        for key in ["float", "object"] {
            let wrong = decide(&mut server, "finance", key).await;
            assert_eq!((wrong.enabled, wrong.reason()), (false, FeatureReason::ValueUnreadable), "{key}");
        }
        let text = decide(&mut server, "finance", "text").await;
        assert_eq!(text.value, value(Kind::StringValue("Zürich".into())));
        database.execute("DELETE FROM entitlement_features WHERE key = 'object'").await;
        let object = decide(&mut server, "finance", "object").await.value.unwrap();
        assert!(matches!(object.kind, Some(Kind::StructValue(fields)) if fields.fields.contains_key("a")));

        let long = format!("'\"{}\"'", "x".repeat(5_000));
        database.flag(1, "finance", "long", "true", &long).await;
        let long = decide(&mut server, "finance", "long").await;
        assert_eq!((long.enabled, long.reason()), (false, FeatureReason::ValueUnreadable));
    }

    async fn a_flag_under_a_former_code_is_a_flag_of_the_module(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.execute(
            "INSERT INTO entitlement_module_aliases (alias, module_id) SELECT 'accounts', id FROM modules WHERE code = 'finance'"
        ).await;
        database.flag(1, "accounts", "multi_currency", "true", "'{}'").await;
        for module in ["finance", "accounts"] {
            let on = decide(&mut server, module, "multi_currency").await;
            assert!(on.enabled && on.module_code == module, "{on:?}");
        }
    }

    async fn a_batch_is_answered_in_order_and_the_list_has_what_check_finds(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.mk_subscription(1, "hrms", Row { expires: Some(400), ..Row::default() }).await;
        database.put_on_plan(1, "growth").await;
        for (key, is_on) in [("b", true), ("a", false)] {
            database.define("finance", Defined { key, is_on, ..Defined::default() }).await;
        }
        database.define("hrms", Defined { key: "c", is_on: true, value: "'true'", ..Defined::default() }).await;
        database.flag(1, "finance", "own", "true", "'{}'").await;
        server.outlive_the_catalogue(301).await;
        let name = |module: &str, key: &str| FeatureName { module_code: module.into(), feature_key: key.into() };
        let asked = [name("hrms", "c"), name("finance", "a"), name("finance", "b"), name("crm_service", "a"), name("hrms", "c")];
        let batch = BatchCheckFeaturesRequest { tenant_id: id(1), features: asked.to_vec(), ..Default::default() };
        let answer = server.client.batch_check_features(batch).await.unwrap().into_inner();
        let enabled: Vec<bool> = answer.decisions.iter().map(|decision| decision.enabled).collect();
        assert_eq!(enabled, [true, false, true, false, true]);
        assert_eq!(answer.freshness.unwrap().valid_until.unwrap().seconds, instant(400).timestamp());

        let plain = ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() };
        let list = server.list(plain.clone()).await.unwrap();
        assert!(list.limits.is_empty() && list.limit_enforcement == 0);
        assert!(list.modules.iter().all(|module| module.features.is_empty()), "nobody asked for them");
        let list = server.list(ListEnabledModulesRequest { include_features: true, ..plain }).await.unwrap();
        let mut listed = Vec::new();
        for module in &list.modules {
            for feature in &module.features {
                let decision = ask(&mut server, request(&module.code, &feature.key)).await.decision.unwrap();
                let found = (decision.enabled, decision.reason(), decision.value.clone());
                assert_eq!(found, (feature.enabled, feature.reason(), feature.value.clone()));
                listed.push((module.code.as_str(), feature.key.as_str()));
            }
        }
        listed.sort_unstable();
        assert_eq!(listed, [("finance", "a"), ("finance", "b"), ("finance", "own"), ("hrms", "c")]);
    }

    async fn malformed_names_are_refused_each_by_its_field(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let long = "k".repeat(101);
        for key in ["", "a\nb", long.as_str()] {
            let refused = server.client.check_feature(request("finance", key)).await.unwrap_err();
            assert_eq!((refused.code(), reason_of(&refused)), (Code::InvalidArgument, "INVALID_FIELD".into()), "{key:?}");
        }
        let name = |key: &str| FeatureName { module_code: "finance".into(), feature_key: key.into() };
        for features in [vec![], vec![name("a"); 101], vec![name("a"), name("")]] {
            let batch = BatchCheckFeaturesRequest { tenant_id: id(1), features, ..Default::default() };
            let refused = server.client.batch_check_features(batch).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        assert!(!decide(&mut server, "finance", &"k".repeat(100)).await.enabled);
    }
}

/// Once in `migrate --status`, for whoever looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_count_for_less_than_they_say_are_named_by_status() {
    for database in [Database::postgres().await, Database::sqlite().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        for (key, value) in [("good", "'3'"), ("default", "'true'")] {
            let defined = Defined { key, value_type: "int64", is_on: true, value };
            database.define("finance", defined).await;
        }
        database.flag(1, "finance", "good", "true", "'\"three\"'").await;
        database.flag(1, "hrms", "own", "true", "'{\"any\": 1}'").await;
        database.plan_says("starter", "finance", "nowhere", true, "NULL").await;
        database.plan_says("growth", "finance", "good", true, "'1.5'").await;
        database.plan_says("growth", "finance", "default", true, "'7'").await;
        database.put_on_plan(1, "starter").await;
        database.keep_feature(1, "good", "true", "'\"four\"'").await;
        database.keep_feature(1, "default", "true", "'4'").await;
        database.execute("UPDATE plans SET max_users = -1 WHERE slug = 'enterprise'").await;
        for (month, zone) in
            [("2026-11", "Mars/Phobos"), ("2026-12", "Asia/Kolkata"), ("2027-01", "")]
        {
            let tenant = database.uuid(&id(1));
            database
                .execute(&format!(
                    "INSERT INTO entitlement_time_zones VALUES ({tenant}, '{month}', '{zone}')"
                ))
                .await;
        }
        let status = process::run(&["migrate", "--status", "--database-url", &database.url]);
        let told = String::from_utf8(status.stdout).unwrap();
        let unread: Vec<&str> =
            told.lines().filter_map(|line| line.strip_prefix("unread   ")).collect();
        let off = "the value is not of the type that is defined, so the feature is off";
        assert_eq!(
            unread,
            [
                &format!(
                    "entitlement_features.default_value of the module finance for default: {off}"
                ),
                &format!("entitlement_plan_features of the plan growth for finance/good: {off}"),
                "entitlement_plan_features of the plan starter for finance/nowhere: there is no such feature, so it counts for nothing",
                "plans of the plan enterprise for max_users: it is negative, and counts as 0",
                &format!("feature_flags.config of the tenant tenant-1 for finance/good: {off}"),
                &format!(
                    "entitlement_kept_features.value of the tenant tenant-1 for finance/good: {off}"
                ),
                "entitlement_time_zones.zone of the tenant tenant-1 for 2026-11: there is no such time zone, so the one before it holds on",
            ]
        );
    }
}

/// A row that cannot be read concerns itself alone: neither its tenant's other rows, nor its modules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_cannot_be_read_costs_nobody_anything_else() {
    for database in [Database::postgres().await, Database::sqlite().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        database.define("finance", Defined { is_on: true, ..Defined::default() }).await;
        database.flag(1, "finance", "good", "true", "'1'").await;
        let odd: &[&str] = if database.is_sqlite() {
            &[
                "INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled, config) \
                 SELECT tenant_id, 'finance', x'ff00', 'perhaps', x'ff' FROM feature_flags",
                "INSERT INTO entitlement_limit_overrides (tenant_id, key, value) SELECT id, 'users', 2.5 FROM tenants",
                "INSERT INTO entitlement_kept_limits (tenant_id, plan_id, key, value, kept_at) SELECT id, plan_id, 'users', 2.5, 'once' FROM tenants",
                "INSERT INTO entitlement_kept_features (tenant_id, plan_id, module_id, key, enabled, value, kept_at) \
                 SELECT t.id, t.plan_id, m.id, x'ff00', 'perhaps', x'ff', 'once' FROM tenants t, modules m",
                "INSERT INTO entitlement_limits (key, kind) VALUES ('seats', 'level')",
                "INSERT INTO entitlement_plan_limits (plan_id, key, value) SELECT id, 'seats', 'many' FROM plans",
                "INSERT INTO entitlement_plan_features (plan_id, module_id, key, enabled) \
                 SELECT p.id, m.id, 'multi_currency', 'perhaps' FROM plans p, modules m WHERE p.slug = 'growth'",
                "UPDATE plans SET max_transactions_monthly = 3000000000 WHERE slug = 'starter'",
            ]
        } else {
            &[
                "ALTER TABLE feature_flags ALTER COLUMN module_code DROP NOT NULL, ALTER COLUMN feature_key DROP NOT NULL",
                "INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled, config) \
                 SELECT tenant_id, NULL, NULL, true, '{}' FROM feature_flags",
                "ALTER TABLE plans ALTER COLUMN slug DROP NOT NULL",
                "INSERT INTO plans (name, slug, type) VALUES ('Nameless', NULL, 'bundle')",
                "INSERT INTO entitlement_plan_limits (plan_id, key, value) SELECT id, 'seats', 1 FROM plans",
                "ALTER TABLE plans ALTER COLUMN max_users TYPE bigint",
                "UPDATE entitlement_features SET default_value = '12345678901234567890'",
            ]
        };
        for sql in odd {
            database.execute(sql).await;
        }
        let mut server = Server::start(database).await;
        assert!(server.check(1, "finance").await.allowed);
        assert!(decide(&mut server, "finance", "good").await.enabled);
        assert!(decide(&mut server, "finance", "multi_currency").await.enabled);
        let list = ListEnabledModulesRequest {
            tenant_id: id(1),
            include_features: true,
            ..Default::default()
        };
        let list = server.list(list).await.unwrap();
        let users = list.limits.iter().find(|limit| limit.key == "users").unwrap();
        assert_eq!(users.limit, Some(5), "of the plan");
    }
}

/// By hand as by a command: it stands in the place of what the plan says, by the rules for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_counts_as_a_row_of_the_plan_and_only_on_that_plan() {
    for database in [Database::postgres().await, Database::sqlite().await] {
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.put_on_plan(1, "starter").await;
        for key in ["wrong", "none", "bytes"] {
            let defined = Defined { key, value_type: "int64", is_on: true, value: "'3'" };
            database.define("finance", defined).await;
        }
        database.keep_feature(1, "wrong", "true", "'\"four\"'").await;
        database.keep_feature(1, "none", "true", "NULL").await;
        database.keep_feature(1, "bytes", "false", "NULL").await;
        database.keep_feature(1, "undefined", "true", "'1'").await;
        database.keep_limit(1, "undefined", "1").await;
        let impossible = [
            "UPDATE entitlement_kept_limits SET value = -1",
            "UPDATE entitlement_kept_features SET enabled = NULL, value = '1'",
        ];
        for sql in impossible {
            assert!(database.try_execute(sql).await.is_err(), "{sql}");
        }
        let mut server = Server::start(database).await;
        let decided = async |server: &mut Server, key| {
            let decision = decide(server, "finance", key).await;
            (decision.enabled, decision.reason(), decision.value)
        };
        let none = (false, FeatureReason::ValueUnreadable, None);
        assert_eq!(decided(&mut server, "wrong").await, none);
        let three = Some(Value { kind: Some(Kind::NumberValue(3.0)) });
        assert_eq!(decided(&mut server, "none").await, (true, FeatureReason::Plan, three.clone()));
        assert_eq!(decided(&mut server, "bytes").await, (false, FeatureReason::Plan, None));
        assert_eq!(decided(&mut server, "undefined").await, (false, FeatureReason::NotFound, None));
        let list = ListEnabledModulesRequest {
            tenant_id: id(1),
            include_features: true,
            ..Default::default()
        };
        let list = server.list(list).await.unwrap();
        assert!(list.limits.iter().all(|limit| limit.key != "undefined"));

        server.database.put_on_plan(1, "growth").await;
        let mut server = Server::start(server.database.again().await).await;
        let default = (true, FeatureReason::Default, three);
        assert_eq!(decided(&mut server, "bytes").await, default);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_are_too_many_for_a_message_are_left_out_and_modules_are_not() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let flags = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO feature_flags (tenant_id, module_code, feature_key, is_enabled, config)
         SELECT {}, 'finance', 'f' || i, true, '\"{}\"' FROM n",
        database.uuid(&id(1)),
        "x".repeat(4_000),
    );
    database.execute(&flags).await;
    let mut server = Server::start(database).await;
    let list = ListEnabledModulesRequest {
        tenant_id: id(1),
        include_features: true,
        ..Default::default()
    };
    let list = server.list(list).await.unwrap();
    assert_eq!((list.modules.len(), list.limits.len(), list.limit_enforcement), (1, 0, 0));
    assert!(list.modules[0].features.is_empty());
    assert!(decide(&mut server, "finance", "f7").await.enabled, "each can be asked for");
}
