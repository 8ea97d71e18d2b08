//! In which time zone a tenant's months are, written down.

use sea_orm::Value;

use super::{FeatureChanged, OwnChanged, own_edit::Own};
use crate::{
    domain::{TimeZoneEdit, calendar::ZoneFrom},
    store::{Evidence, MutationError, StoreError, entitlements::Found, transaction::Transaction},
};

impl Own<'_> {
    /// Another zone from a month on that has not begun: months that have begun stay as they are.
    pub(super) async fn edit_time_zone(
        &self,
        txn: &Transaction,
        tenant: &Found,
        evidence: &Evidence,
        TimeZoneEdit { zone, servers }: TimeZoneEdit,
    ) -> Result<FeatureChanged, MutationError> {
        let before = evidence.facts.tenant.zones(servers);
        let (after, from) = before.change(zone, self.at);
        if after != before {
            let id = Value::from(tenant.id.uuid());
            let sql =
                "DELETE FROM entitlement_time_zones WHERE tenant_id = $1 AND from_month >= $2";
            txn.execute_with(sql, [id, from.to_string().into()]).await?;
            for new in after.own().iter().filter(|own| own.from >= from) {
                insert(txn, tenant, new).await?;
            }
        }
        Ok(FeatureChanged::TimeZone(OwnChanged {
            tenant: tenant.id,
            before: Some(before.standing(self.at)),
            after: Some(after.standing(self.at)),
            revision: 0,
        }))
    }
}

async fn insert(
    txn: &Transaction,
    tenant: &Found,
    ZoneFrom { from, zone }: &ZoneFrom,
) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO entitlement_time_zones (tenant_id, from_month, zone) VALUES ($1, $2, $3)";
    let name = zone.map_or("", |zone| zone.name());
    let values = [tenant.id.uuid().into(), from.to_string().into(), name.into()];
    txn.execute_with(sql, values).await
}
