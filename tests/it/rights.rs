//! Who may do what in the database.

use std::process::Output;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{
    change_log::revision,
    harness::{Database, Row, Server, id, postgres, process, server::check_request},
    readme,
};
use entitlementd::proto::v1::DecisionReason;

/// The functions that run with the rights of their owner.
const DEFINERS: [&str; 7] = [
    "entitlement_tenants_changed",
    "entitlement_tenant_subscriptions_changed",
    "entitlement_feature_flags_changed",
    "entitlement_modules_changed",
    "entitlement_plans_changed",
    "entitlement_tenants_truncated",
    "entitlement_catalogue_truncated",
];

/// What of ours somebody may do something with, although nobody has given it to him.
const REACHABLE: &str = "SELECT count(*) AS count FROM (
    SELECT 1 FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER', 'REFERENCES']) p
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'entitlement%' AND c.relkind IN ('r', 'v')
      AND has_table_privilege('ROLE', c.oid, p)
    UNION ALL
    SELECT 1 FROM pg_class c, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'entitlement%' AND c.relkind = 'S'
      AND has_sequence_privilege('ROLE', c.oid, p)
    UNION ALL
    SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'entitlement%' AND c.relkind IN ('r', 'v')
      AND has_column_privilege('ROLE', c.oid, a.attnum, 'SELECT')
    UNION ALL
    SELECT 1 FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'entitlement%'
      AND has_function_privilege('ROLE', p.oid, 'EXECUTE')) reachable";

/// A role that may log in, and nothing else, and the URL to do so.
pub async fn mk_role(database: &Database, name: &str) -> (String, String) {
    let role = format!("{name}_{}", database.name);
    database.execute(&format!("CREATE ROLE {role} LOGIN")).await;
    let url = database.url.replace("postgres@", &format!("{role}@"));
    (role, url)
}

async fn reachable(database: &Database, role: &str) -> i64 {
    database.one(&REACHABLE.replace("ROLE", role)).await.try_get("", "count").unwrap()
}

fn status(url: &str) -> String {
    text(&process::run(&["migrate", "--status", "--database-url", url]))
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn refusal(connection: &mut PgConnection, sql: &str) -> String {
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
        .await
        .err()
        .map_or_else(String::new, |error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_makes_a_trigger_of_a_function_that_runs_with_its_owners_rights() {
    let database = Database::postgres().await;
    let (_, url) = mk_role(&database, "mallory").await;
    let mut mallory = PgConnection::connect(&url).await.unwrap();
    mallory
        .execute(sqlx::raw_sql("CREATE TEMP TABLE mine (id uuid, tenant_id uuid)"))
        .await
        .unwrap();
    for function in DEFINERS {
        let sql = format!(
            "CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.{function}()"
        );
        let refused = refusal(&mut mallory, &sql).await;
        assert!(refused.contains("permission denied for function"), "{function}: {refused}");
    }
    let owners = "SELECT count(*) AS count FROM pg_proc p WHERE p.prosecdef AND p.prorettype = 'trigger'::regtype
                  AND p.proname LIKE 'entitlement%' AND pg_get_userbyid(p.proowner) <> 'entitlementd_log'";
    assert_eq!(database.one(owners).await.try_get::<i64>("", "count").unwrap(), 0);
    let others = database
        .one(
            "SELECT count(*) AS count FROM pg_class c, unnest(ARRAY['SELECT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
               AND has_table_privilege('entitlementd_log', c.oid, p)",
        )
        .await;
    assert_eq!(
        others.try_get::<i64>("", "count").unwrap(),
        0,
        "it adds to the log, and does nothing else"
    );
}

/// Types that an owner of a table may make, each with what makes a `uuid` of it and what compares
/// two of it.
const OWN_TYPES: [&str; 3] = [
    "CREATE TYPE own AS (text text)",
    "CREATE TYPE own AS ENUM ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002')",
    "CREATE DOMAIN own AS text",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_owns_a_table_runs_nothing_with_the_rights_of_another() {
    for own in OWN_TYPES {
        let database = Database::postgres().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let (role, url) = mk_role(&database, "owner").await;
        database
            .execute(&format!(
                "GRANT USAGE, CREATE ON SCHEMA public TO {role}; ALTER TABLE tenant_subscriptions OWNER TO {role};
                 CREATE TABLE spied (who text); GRANT INSERT ON spied TO PUBLIC; GRANT SELECT, REFERENCES ON tenants, modules TO {role}"
            ))
            .await;
        let mut owner = PgConnection::connect(&url).await.unwrap();
        // The function is made ready with the column as it was.
        owner
            .execute(sqlx::raw_sql("UPDATE tenant_subscriptions SET status = 'trial'"))
            .await
            .unwrap();
        let cast = if own.contains("DOMAIN") {
            // A domain has no casts of its own; its base type's are the database's.
            String::new()
        } else {
            "CREATE FUNCTION spy(own) RETURNS uuid LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO public.spied VALUES (current_user); RETURN '00000000-0000-4000-8000-000000000001'::uuid; END $$;
             CREATE CAST (own AS uuid) WITH FUNCTION spy(own) AS ASSIGNMENT;"
                .to_owned()
        };
        owner
            .execute(sqlx::raw_sql(AssertSqlSafe(format!(
                "{own}; {cast}
                 CREATE FUNCTION same(own, own) RETURNS boolean LANGUAGE plpgsql AS $$
                 BEGIN INSERT INTO public.spied VALUES (current_user); RETURN true; END $$;
                 CREATE OPERATOR = (LEFTARG = own, RIGHTARG = own, FUNCTION = same);
                 ALTER TABLE tenant_subscriptions DROP CONSTRAINT fk_tenant_subscriptions_tenant_id;
                 DROP INDEX idx_tenant_subscriptions_tenant_id;
                 ALTER TABLE tenant_subscriptions ALTER COLUMN tenant_id TYPE own USING {}",
                if own.contains(" (text ") {
                    "ROW(tenant_id::text)::own"
                } else {
                    "tenant_id::text::own"
                }
            ))))
            .await
            .unwrap();
        let before = revision(&database, 1).await;
        for connection in [owner, PgConnection::connect(&url).await.unwrap()].iter_mut() {
            connection
                .execute(sqlx::raw_sql("UPDATE tenant_subscriptions SET status = status || 'x'"))
                .await
                .unwrap();
        }
        let spied = database.one("SELECT count(*) AS count FROM spied").await;
        assert_eq!(spied.try_get::<i64>("", "count").unwrap(), 0, "{own}");
        assert_eq!(revision(&database, 1).await, before + 2, "{own}: everyone may have changed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_everybody_is_granted_by_default_is_taken_back_on_each_migration() {
    let database = Database::empty_postgres().await;
    let (role, _) = mk_role(&database, "anon").await;
    let default = ["TABLES", "SEQUENCES", "FUNCTIONS"].map(|kind| {
        format!("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON {kind} TO {role}, entitlementd_writer;")
    });
    process::migrate(&Database::postgres().await.url); // The roles are there.
    database.execute(&default.concat()).await;
    process::migrate(&database.url);
    assert_eq!(reachable(&database, &role).await, 0);
    assert_eq!(
        reachable(&database, "entitlementd_writer").await,
        3,
        "a view, by its two columns and as a whole"
    );
    assert_eq!(
        status(&database.url).lines().filter(|line| line.starts_with("open")).collect::<Vec<_>>(),
        [""; 0]
    );

    database
        .execute(&format!(
            "GRANT SELECT, INSERT ON entitlement_folded_changes TO {role} WITH GRANT OPTION;
             GRANT UPDATE (reason) ON entitlement_audit TO {role}; GRANT USAGE ON SEQUENCE entitlement_audit_id_seq TO {role};
             GRANT EXECUTE ON FUNCTION entitlement_plans_changed() TO PUBLIC;
             ALTER FUNCTION entitlement_tenants_changed() OWNER TO postgres;
             CREATE TABLE other (id uuid); CREATE TRIGGER entitlement_tenants_changed AFTER INSERT ON other
             FOR EACH ROW EXECUTE FUNCTION entitlement_tenants_changed()"
        ))
        .await;
    let told = status(&database.url);
    for open in [
        format!("open     {role} may INSERT, SELECT on TABLE public.entitlement_folded_changes"),
        format!("open     {role} may UPDATE on TABLE public.entitlement_audit"),
        format!("open     {role} may USAGE on SEQUENCE public.entitlement_audit_id_seq"),
        "open     PUBLIC may EXECUTE on FUNCTION public.entitlement_plans_changed()".to_owned(),
        "the function entitlement_tenants_changed runs with the rights of postgres".to_owned(),
        "the trigger entitlement_tenants_changed of the table other is not ours".to_owned(),
    ] {
        assert!(told.contains(&open), "{open}: {told}");
    }
    process::migrate(&database.url);
    assert_eq!(reachable(&database, &role).await, 0);
    let left: Vec<String> = status(&database.url)
        .lines()
        .filter(|line| line.starts_with("open"))
        .map(Into::into)
        .collect();
    assert!(
        left.len() == 1 && left[0].contains("the table other"),
        "only its owner drops a trigger: {left:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_that_was_forged_makes_no_load_fail() {
    for database in [Database::postgres().await, Database::sqlite().await] {
        let [tenant, everyone, own] = if database.is_sqlite() {
            let hex = |id: &str| format!("x'{}'", id.replace('-', ""));
            [hex(&id(1)), "zeroblob(16)".to_owned(), "'tenant'".to_owned()]
        } else {
            [format!("'{}'", id(1)), format!("'{}'", uuid::Uuid::nil()), "'tenant'".to_owned()]
        };
        database.mk_subscribed(1, "finance", Row::default()).await;
        database
            .execute(&format!(
                "INSERT INTO entitlement_folded_changes (topic, tenant_id, changes) VALUES
                 ({own}, {tenant}, 9223372036854775807), ('tenants', {everyone}, 9223372036854775807),
                 ('catalogue', {everyone}, -9223372036854775807)"
            ))
            .await;
        let mut server = Server::start_fed(database).await;
        server.until(1, "finance", DecisionReason::Enabled).await;
        assert!(!server.check(1, "hrms").await.allowed);
        server.database.set_status(1, "suspended").await;
        server.until(1, "finance", DecisionReason::TenantSuspended).await;
    }
}

/// The SQL of the documented roles, for the one that migrates and for the others.
fn documented() -> [String; 2] {
    let section = readme::section("docs/adopting.md", "## Rights in the database");
    readme::blocks(&section, "sql").try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_documented_roles_are_enough_and_none_may_do_more() {
    let cluster = postgres::Cluster::start(&[]);
    cluster.execute("CREATE DATABASE erp").await;
    let database = Database::on(&cluster, "erp".to_owned()).await;
    let by = |role: &str| database.url.replace("postgres@", &format!("{role}@"));
    let [migrating, others] = documented();
    database.execute(&migrating).await;
    process::migrate(&by("erp_migrator"));
    assert!(!status(&by("erp_migrator")).contains("open "), "{}", status(&by("erp_migrator")));
    database.execute(&others).await;

    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Server::start_with(
        database.by_way_of(by("erp_entitlementd")).await,
        &["--changes", "listen"],
    )
    .await;
    server.until(1, "finance", DecisionReason::Enabled).await;
    server.database.set_status(1, "suspended").await;
    server.until(1, "finance", DecisionReason::TenantSuspended).await;
    let mut serving = PgConnection::connect(&by("erp_entitlementd")).await.unwrap();
    serving.execute(sqlx::raw_sql("SELECT entitlement_fold()")).await.unwrap();
    for more in [
        "SELECT * FROM entitlement_audit",
        "UPDATE tenants SET status = 'active'",
        "DELETE FROM entitlement_changes",
    ] {
        assert!(refusal(&mut serving, more).await.contains("permission denied"), "{more}");
    }

    let administrator = by("erp_administrators");
    let manage = |words: &[&str]| {
        text(&process::run(&[&["tenant"], words, &["--database-url", &administrator]].concat()));
    };
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/tenant-template");
    let onboard = [
        "onboard",
        "newcomer",
        "--name",
        "Newcomer",
        "--plan",
        "starter",
        "--tenant-template",
        template,
    ];
    manage(&onboard);
    for words in [
        "feature define finance rows",
        "limit define warehouses --kind level",
        "plan set-limit growth warehouses 3",
        "plan set-limit growth warehouses unlimited",
        "plan set-feature starter finance rows on --existing-tenants keep",
        "plan set-limit starter users 3 --existing-tenants keep",
        "tenant set-flag newcomer finance rows off",
        "tenant delete-flag newcomer finance rows",
        "tenant set-limit newcomer users 9",
        "tenant end-limit newcomer users",
        "tenant end-kept-feature newcomer finance rows",
        "tenant end-kept-limit newcomer users",
        "tenant set-time-zone newcomer Asia/Kolkata",
        "tenant show newcomer",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        text(&process::run(&[&words, &["--database-url", &administrator][..]].concat()));
    }
    manage(&["set-status", "newcomer", "cancelled", "--reason", "left"]);
    manage(&["delete", "newcomer", "--name", "Newcomer", "--reason", "left"]);
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_make_no_roles_is_told_so_and_the_erp_goes_on_writing() {
    let cluster = postgres::Cluster::start(&[]);
    cluster.execute("CREATE ROLE simple LOGIN").await;
    cluster.execute("CREATE DATABASE erp OWNER simple").await;
    let database = Database::on(&cluster, "erp".to_owned()).await;
    let url = database.url.replace("postgres@", "simple@");
    let told = text(&process::run(&["migrate", "--database-url", &url]));
    assert!(
        told.contains("open     the role entitlementd_log does not exist; run: CREATE ROLE entitlementd_log NOLOGIN"),
        "{told}"
    );
    assert!(
        told.contains("the function entitlement_tenants_changed runs with the rights of simple"),
        "{told}"
    );
    database.mk_tenant(1, "one", "active").await;
    assert_eq!(revision(&database, 1).await, 1);

    cluster.execute("CREATE ROLE entitlementd_log NOLOGIN; GRANT entitlementd_log TO simple").await;
    let told = text(&process::run(&["migrate", "--database-url", &url]));
    assert!(
        !told.contains("entitlementd_log")
            && told.contains("the role entitlementd_server does not exist"),
        "{told}"
    );
    // Neither a schema that is closed to all, nor a policy, stops the ERP's own writes.
    database
        .execute("REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER TABLE entitlement_changes ENABLE ROW LEVEL SECURITY")
        .await;
    database.set_status(1, "suspended").await;
    assert_eq!(revision(&database, 1).await, 2);
    cluster.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_lacks_rights_is_told_which_and_not_to_migrate() {
    let database = Database::postgres().await;
    let (role, url) = mk_role(&database, "poor").await;
    let started = |words: &str| {
        let mut server =
            process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
        server.wait_for(words);
        server.logged.clone()
    };
    let logged = started(&format!("GRANT entitlementd_server TO {role}"));
    assert!(!logged.contains("run: entitlementd migrate (or"), "{logged}");
    database
        .execute(&format!(
            "GRANT entitlementd_server TO {role}; GRANT SELECT ON tenants, modules, plans, feature_flags TO {role}"
        ))
        .await;
    let said = "may not read id, tenant_id, module_id, status, starts_at, expires_at, is_trial, trial_ends_at of the table \
                tenant_subscriptions; run: GRANT SELECT ON tenant_subscriptions TO";
    let logged = started(said);
    assert!(!logged.contains("run: entitlementd migrate (or"), "{logged}");
    assert!(status(&url).contains(said));
    let columns =
        "id, tenant_id, module_id, status, starts_at, expires_at, is_trial, trial_ends_at";
    database.execute(&format!("GRANT SELECT ({columns}) ON tenant_subscriptions TO {role}")).await;
    started("\"ready\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_hides_rows_makes_no_customer_unknown() {
    for policy in ["", "CREATE POLICY most ON tenants USING (subdomain <> 'tenant1')"] {
        let database = Database::postgres().await;
        let (role, url) = mk_role(&database, "filtered").await;
        database
            .execute(&format!(
                "GRANT entitlementd_server TO {role};
                 GRANT SELECT ON tenants, modules, plans, tenant_subscriptions, feature_flags TO {role}"
            ))
            .await;
        let mut server = Server::start_fed(database.by_way_of(url.clone()).await).await;
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        server.until(1, "finance", DecisionReason::Enabled).await;
        server
            .database
            .execute(&format!("ALTER TABLE tenants ENABLE ROW LEVEL SECURITY; {policy}"))
            .await;
        server.database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
        let answer = server.check(1, "finance").await;
        assert!(
            answer.allowed || answer.reason() == DecisionReason::SubscriptionSuspended,
            "{policy}: {answer:?}"
        );
        assert!(
            server.check_request(check_request(2, "finance")).await.is_err(),
            "{policy}: whoever is not held is not unknown"
        );
        let said =
            format!("row-level security would hide rows of the table tenants from the role {role}");
        assert!(status(&url).contains(&said), "{}", status(&url));
        let mut other =
            process::Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &url]);
        other.wait_for(&said);
        server.database.execute(&format!("ALTER ROLE {role} BYPASSRLS")).await;
        other.wait_for("\"ready\"");
    }
}
