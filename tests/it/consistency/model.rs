//! What the database holds, as simple as it can be said, and the changes that writers make of it.

use entitlementd::proto::v1::DecisionReason;

use crate::harness::{dice::Dice, id};

pub const TENANTS: u32 = 20;
pub const MODULES: [&str; 3] = ["finance", "hrms", "procurement"];

/// The answers for all modules.
pub type Answers = [DecisionReason; MODULES.len()];

#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    status: &'static str,
    is_expired: bool,
}

/// A tenant as the database holds it.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// `None`: there is no such tenant.
    status: Option<&'static str>,
    subscriptions: [Option<Subscription>; MODULES.len()],
}

impl Tenant {
    /// What must be answered.
    pub fn answers(&self) -> Answers {
        use DecisionReason::{
            Enabled, NotSubscribed, SubscriptionCancelled, SubscriptionExpired,
            SubscriptionSuspended, TenantCancelled, TenantNotFound, TenantSuspended,
        };
        self.subscriptions.map(|subscription| match (self.status, subscription) {
            (None, _) => TenantNotFound,
            (Some("suspended"), _) => TenantSuspended,
            (Some("cancelled"), _) => TenantCancelled,
            (Some(_), None) => NotSubscribed,
            (Some(_), Some(Subscription { status: "suspended", .. })) => SubscriptionSuspended,
            (Some(_), Some(Subscription { status: "cancelled", .. })) => SubscriptionCancelled,
            (Some(_), Some(Subscription { is_expired: true, .. })) => SubscriptionExpired,
            (Some(_), Some(_)) => Enabled,
        })
    }
}

/// Changes one or two of these tenants at random. Gives the SQL that does the same in the database.
pub fn change(dice: &mut Dice, tenants: &mut [(u32, Tenant)]) -> String {
    let place = dice.below(tenants.len());
    let other = (place + 1) % tenants.len();
    let module = dice.below(MODULES.len());
    let other_has_it =
        tenants[other].1.status.is_none() || tenants[other].1.subscriptions[module].is_some();
    let other_id = id(tenants[other].0);
    let (number, tenant) = &mut tenants[place];
    let number = *number;
    if tenant.status.is_none() {
        return make(number, tenant);
    }
    let Some(subscription) = tenant.subscriptions[module] else {
        return subscribe(dice, number, tenant, module);
    };
    match dice.below(12) {
        0 => remove(number, tenant),
        // Gone and back, in one transaction: it was never away.
        1 => {
            remove(number, tenant)
                + &make(number, tenant)
                + &subscribe(dice, number, tenant, module)
        }
        2 | 3 => {
            let status = dice.pick(&["active", "active", "suspended", "cancelled"]);
            tenant.status = Some(status);
            format!("UPDATE tenants SET status = '{status}' WHERE id = '{}';", id(number))
        }
        4 | 5 if !other_has_it => {
            tenant.subscriptions[module] = None;
            tenants[other].1.subscriptions[module] = Some(subscription);
            format!(
                "UPDATE tenant_subscriptions SET tenant_id = '{other_id}' {};",
                of(number, module)
            )
        }
        6 | 7 => {
            tenant.subscriptions[module] = None;
            format!("DELETE FROM tenant_subscriptions {};", of(number, module))
        }
        8 | 9 => {
            let is_expired = !subscription.is_expired;
            tenant.subscriptions[module] = Some(Subscription { is_expired, ..subscription });
            format!(
                "UPDATE tenant_subscriptions SET expires_at = {} {};",
                expiry(is_expired),
                of(number, module)
            )
        }
        _ => {
            let status = dice.pick(&["active", "active", "suspended", "cancelled"]);
            tenant.subscriptions[module] = Some(Subscription { status, ..subscription });
            format!("UPDATE tenant_subscriptions SET status = '{status}' {};", of(number, module))
        }
    }
}

fn make(number: u32, tenant: &mut Tenant) -> String {
    *tenant = Tenant { status: Some("active"), ..Tenant::default() };
    format!(
        "INSERT INTO tenants (id, name, subdomain, database_schema, status)
         VALUES ('{}', 'Tenant {number}', 'tenant-{number}', 'tenant_{number}', 'active');",
        id(number)
    )
}

fn remove(number: u32, tenant: &mut Tenant) -> String {
    *tenant = Tenant::default();
    format!("DELETE FROM tenants WHERE id = '{}';", id(number))
}

fn subscribe(dice: &mut Dice, number: u32, tenant: &mut Tenant, module: usize) -> String {
    let subscription = Subscription { status: "active", is_expired: dice.once_in(4) };
    tenant.subscriptions[module] = Some(subscription);
    format!(
        "INSERT INTO tenant_subscriptions (tenant_id, module_id, status, starts_at, expires_at)
         SELECT '{}', id, 'active', '2001-01-01', {} FROM modules WHERE code = '{}';",
        id(number),
        expiry(subscription.is_expired),
        MODULES[module]
    )
}

fn of(number: u32, module: usize) -> String {
    let tenant = id(number);
    format!(
        "WHERE tenant_id = '{tenant}' AND module_id = (SELECT id FROM modules WHERE code = '{}')",
        MODULES[module]
    )
}

fn expiry(is_expired: bool) -> &'static str {
    if is_expired { "'2002-01-01'" } else { "NULL" }
}
