//! In which time zones a tenant's months are, as the record keeps it and commands print it: with the
//! names of the protos.

use chrono::{DateTime, Utc};
use sea_orm::prelude::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::OwnChanged;
use crate::{
    domain::calendar::{Month, MonthZone, ZoneStanding},
    store::{AuditEvent, StoreError},
};

#[derive(Deserialize, Serialize)]
struct TimeZoneJson {
    present: MonthJson,
    next: Option<MonthJson>,
}

#[derive(Deserialize, Serialize)]
struct MonthJson {
    month: String,
    starts_at: DateTime<Utc>,
    time_zone: String,
    is_own: bool,
}

/// Which zone holds, and which is to come.
pub fn time_zone_to_json(standing: &ZoneStanding) -> Json {
    let ZoneStanding { present, next } = standing;
    json!(TimeZoneJson { present: to_json(present), next: next.as_ref().map(to_json) })
}

fn to_json(MonthZone { month, starts_at, zone, is_own }: &MonthZone) -> MonthJson {
    MonthJson {
        month: month.to_string(),
        starts_at: *starts_at,
        time_zone: zone.name().to_owned(),
        is_own: *is_own,
    }
}

/// What a change did that was made before.
pub(super) fn zone_changed_of(event: &AuditEvent) -> Result<OwnChanged<ZoneStanding>, StoreError> {
    let state =
        |json: &Option<Json>| json.as_ref().map(|json| standing_of(event, json)).transpose();
    let tenant = event.tenant.ok_or_else(|| event.unreadable("it has no tenant".to_owned()))?;
    Ok(OwnChanged {
        tenant,
        before: state(&event.before)?,
        after: state(&event.after)?,
        revision: 0,
    })
}

fn standing_of(event: &AuditEvent, json: &Json) -> Result<ZoneStanding, StoreError> {
    let TimeZoneJson { present, next } =
        TimeZoneJson::deserialize(json).map_err(|error| event.unreadable(error.to_string()))?;
    let read = |json: MonthJson| {
        let MonthJson { month, starts_at, time_zone, is_own } = json;
        let (read, zone) = (Month::parse(&month), time_zone.parse().ok());
        let read = read.zip(zone);
        read.map(|(month, zone)| MonthZone { month, starts_at, zone, is_own })
            .ok_or_else(|| event.unreadable(format!("{time_zone:?} from {month:?} is no zone")))
    };
    Ok(ZoneStanding { present: read(present)?, next: next.map(read).transpose()? })
}
