//! What is still open.

use super::{OTHER_FUNCTIONS, RELATIONS, quoted, roles, surplus};
use crate::{
    changes::{DEFINERS, log_triggers},
    m20261124_000004_record,
};

/// Something in the database that lets somebody do more with the objects of ours than is needed.
/// Displays as what it is, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenDoor(pub(crate) String);

impl std::fmt::Display for OpenDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A query of sentences, `a`, each of something that is open. PostgreSQL only: whoever can open
/// SQLite's file can do everything.
pub(crate) fn query() -> String {
    let (log, all) = (roles::LOG, quoted(&roles::ALL));
    let functions = [&DEFINERS[..], &OTHER_FUNCTIONS].concat();
    let (functions, relations) = (quoted(&functions), quoted(&RELATIONS));
    let log_triggers = log_triggers();
    let of_log = log_triggers.iter().map(|(table, name)| (*table, name.as_str()));
    let triggers = of_log
        .chain(m20261124_000004_record::TRIGGERS)
        .map(|(table, name)| format!("('{table}', '{name}')"));
    format!(
        "SELECT format('%s may %s on %s', grantee, string_agg(privilege, ', ' ORDER BY privilege), object) AS a
         FROM ({}) surplus GROUP BY grantee, object
         UNION ALL
         SELECT format('the role %s does not exist; run: CREATE ROLE %s NOLOGIN; then migrate again', name, name)
         FROM unnest(ARRAY[{all}]) wanted (name) WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name)
         UNION ALL
         SELECT format('the role %s is a superuser; run: ALTER ROLE %s NOSUPERUSER', rolname, rolname)
         FROM pg_roles WHERE rolname IN ({all}) AND rolsuper
         UNION ALL
         SELECT format('the function %s runs with the rights of %s, who may do more than add to the log; let a role '
                       'migrate that may make it the function of {log}', p.proname, pg_get_userbyid(p.proowner))
         FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND p.proname IN ({})
           AND pg_get_userbyid(p.proowner) <> '{log}'
         UNION ALL
         SELECT format('the trigger %s of the table %s is not ours, and runs our function or watches our table; drop it',
                       quote_ident(t.tgname), t.tgrelid::regclass)
         FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_class c ON c.oid = t.tgrelid
         WHERE NOT t.tgisinternal
           AND ((p.pronamespace = 'public'::regnamespace AND p.proname IN ({functions}))
                OR (c.relnamespace = 'public'::regnamespace AND c.relname IN ({relations})))
           AND NOT (c.relnamespace = 'public'::regnamespace AND (c.relname, t.tgname) IN (VALUES {}))
         UNION ALL
         SELECT 'everybody may make objects in the schema public, which statements may then find; run: '
                'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
         FROM pg_namespace n, aclexplode(COALESCE(n.nspacl, acldefault('n', n.nspowner))) a
         WHERE n.nspname = 'public' AND a.grantee = 0 AND a.privilege_type = 'CREATE'
         ORDER BY a",
        surplus(),
        quoted(&DEFINERS),
        triggers.collect::<Vec<_>>().join(", "),
    )
}
