//! Rows, written as a person would: by SQL.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use super::{Database, NOW};

/// A tenant's id, by number.
pub fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// An instant that many seconds from [`NOW`].
pub fn instant(seconds_from_now: i64) -> DateTime<Utc> {
    NOW + TimeDelta::seconds(seconds_from_now)
}

/// A subscription's row. The default is active, and always was.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub status: &'static str,
    /// Seconds from now.
    pub starts: i64,
    pub expires: Option<i64>,
    pub is_trial: bool,
    pub trial_ends: Option<i64>,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            status: "active",
            starts: -1_000_000,
            expires: None,
            is_trial: false,
            trial_ends: None,
        }
    }
}

impl Database {
    /// An id as this database stores it.
    pub fn uuid(&self, id: &str) -> String {
        if self.is_sqlite() { format!("x'{}'", id.replace('-', "")) } else { format!("'{id}'") }
    }

    pub async fn mk_tenant(&self, number: u32, subdomain: &str, status: &str) {
        let tenant = self.uuid(&id(number));
        self.execute(&format!(
            "INSERT INTO tenants (id, name, subdomain, database_schema, status)
             VALUES ({tenant}, 'Tenant {number}', '{subdomain}', 'tenant_{subdomain}', '{status}')"
        ))
        .await;
    }

    pub async fn mk_subscription(&self, number: u32, module: &str, row: Row) {
        let tenant = self.uuid(&id(number));
        let at = |seconds: i64| {
            format!("'{}'", instant(seconds).to_rfc3339_opts(SecondsFormat::AutoSi, false))
        };
        let or_null = |seconds: Option<i64>| seconds.map_or_else(|| "NULL".to_owned(), at);
        let Row { status, starts, expires, is_trial, trial_ends } = row;
        self.execute(&format!(
            "INSERT INTO tenant_subscriptions
                (tenant_id, module_id, status, starts_at, expires_at, is_trial, trial_ends_at)
             SELECT {tenant}, id, '{status}', {}, {}, {is_trial}, {} FROM modules WHERE code = '{module}'",
            at(starts),
            or_null(expires),
            or_null(trial_ends),
        ))
        .await;
    }

    /// An active tenant with one subscription.
    pub async fn mk_subscribed(&self, number: u32, module: &str, row: Row) {
        self.mk_tenant(number, &format!("tenant-{number}"), "active").await;
        self.mk_subscription(number, module, row).await;
    }

    pub async fn set_status(&self, number: u32, status: &str) {
        let tenant = self.uuid(&id(number));
        self.execute(&format!("UPDATE tenants SET status = '{status}' WHERE id = {tenant}")).await;
    }
}
