//! The time zones of several tenants at once, for what is counted or reported for them together.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use chrono_tz::Tz;
use sea_orm::{QueryResult, Statement, prelude::Uuid};

use super::rows::{Rows, Table, tenant};
use crate::{
    domain::{
        TenantId,
        calendar::{ZoneFrom, Zones},
    },
    store::{Store, StoreError, ask::Ask, row::ReadContext, tenant::own::zone_from},
};

/// The time zones of some tenants.
#[derive(Debug)]
pub struct ZonesOfTenants {
    servers: Tz,
    own: BTreeMap<TenantId, Arc<[ZoneFrom]>>,
}

impl ZonesOfTenants {
    /// Those of a tenant.
    pub fn of(&self, tenant: TenantId) -> Zones {
        match self.own.get(&tenant) {
            Some(own) => Zones::new(self.servers, Arc::clone(own)),
            None => self.servers.into(),
        }
    }

    /// Those that these rows say, where the servers have this zone.
    pub(super) fn read(
        found: &[QueryResult],
        servers: Tz,
        context: &ReadContext,
    ) -> Result<Self, StoreError> {
        let mut own: BTreeMap<TenantId, Vec<ZoneFrom>> = BTreeMap::new();
        for row in found {
            let id: Uuid = row.try_get("", "tenant_id")?;
            let [from, zone]: [String; 2] =
                [row.try_get("", "from_month")?, row.try_get("", "zone")?];
            own.entry(id.into()).or_default().extend(zone_from(&from, &zone, context));
        }
        let own = own.into_iter().map(|(tenant, zones)| (tenant, zones.into())).collect();
        Ok(Self { servers, own })
    }
}

impl Store {
    /// Reads the time zones of these tenants, in one statement.
    pub async fn zones_of_tenants(
        &self,
        tenants: &BTreeSet<TenantId>,
        servers: Tz,
    ) -> Result<ZonesOfTenants, StoreError> {
        if tenants.is_empty() {
            return Ok(ZonesOfTenants { servers, own: BTreeMap::new() });
        }
        let statement = Rows::new(self.primary.dialect()).zones(tenants);
        ZonesOfTenants::read(&self.primary.query(statement).await?, servers, &self.context)
    }
}

impl Rows {
    /// The time zones of these tenants, by month.
    pub(super) fn zones(self, tenants: &BTreeSet<TenantId>) -> Statement {
        let tenants = tenants.iter().map(|id| [tenant(*id)]);
        let Table { sql, values } = self.table("asked (id)", tenants, ["uuid"], 0);
        let sql = format!(
            "WITH {sql} SELECT z.tenant_id, CAST(z.from_month AS text) AS from_month, CAST(z.zone AS text) AS zone \
             FROM asked JOIN entitlement_time_zones z ON z.tenant_id = asked.id ORDER BY z.tenant_id, z.from_month"
        );
        self.dialect().statement(sql, values)
    }
}
