//! SQLite's forms.

use serde_json::json;

use crate::store::TenantKey;

pub(super) const KEY_TABLES: [&str; 2] = [
    "(SELECT unhex(value) AS id FROM json_each(?1)) i",
    "(SELECT value AS subdomain FROM json_each(?2)) s",
];

pub(super) fn key_lists(keys: &[TenantKey]) -> [String; 2] {
    let (mut ids, mut subdomains) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            TenantKey::Id(id) => ids.push(id.uuid().simple().to_string()),
            TenantKey::Subdomain(label) => subdomains.push(label.as_str()),
        }
    }
    [json!(ids).to_string(), json!(subdomains).to_string()]
}

/// `seen` is the last row's id. The sequence keeps its value when rows are folded away.
pub(super) fn log_since(seen: Option<&str>, most: usize) -> String {
    let seen = seen.unwrap_or("NULL");
    format!(
        "SELECT '' AS history, CAST(state.last AS text) AS seen,
                COALESCE({seen} < (SELECT horizon FROM entitlement_folding), true) AS folded, true AS armed,
                false AS denied, 0.0 AS queue_usage, CAST(NULL AS bigint) AS clock, log.topic, log.tenant_id
         FROM (SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = 'entitlement_changes'), 0) AS last) state
         LEFT JOIN entitlement_changes log ON log.id > {seen}
         LIMIT {most}"
    )
}
