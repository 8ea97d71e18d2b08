//! The facts of a tenant.

use uuid::Uuid;

use super::{
    Shared, Unreadable,
    value::{
        instant, instant_of, plan_feature, plan_feature_of, required_instant, setting, setting_of,
    },
};
use crate::{
    domain::{
        Facts, FlagRow, Flags, HeldSubscription, KeptAt, KeptFeature, KeptLimit, KeptTerms,
        LimitOverride, OwnTerms, SubscriptionStatus, Tenant, TenantStatus,
        calendar::{Month, ZoneFrom, parse_zone},
        feature::Flag,
    },
    proto::replication as proto,
};

/// Facts as a message.
pub fn facts(facts: &Facts) -> proto::Facts {
    proto::Facts {
        tenant: Some(tenant(&facts.tenant)),
        revision: facts.revision,
        as_of: Some(instant(facts.as_of)),
        subscriptions: facts.rows().iter().map(subscription).collect(),
    }
}

/// The facts that a message is of.
pub fn facts_of(message: proto::Facts, shared: &mut Shared) -> Result<Facts, Unreadable> {
    let proto::Facts { tenant, revision, as_of, subscriptions } = message;
    let tenant = tenant_of(tenant.ok_or(Unreadable::missing("Facts.tenant"))?, shared)?;
    let subscriptions = subscriptions.into_iter().map(|row| subscription_of(row, shared));
    let as_of = required_instant("Facts.as_of", as_of)?;
    Ok(Facts::of_held(tenant, subscriptions.collect::<Result<_, _>>()?, revision, as_of))
}

fn tenant(tenant: &Tenant) -> proto::Tenant {
    let Tenant { own, plan_slug, id, name, subdomain, database_schema, status } = tenant;
    proto::Tenant {
        id: id.uuid().into_bytes().to_vec(),
        name: name.to_string(),
        subdomain: subdomain.to_string(),
        database_schema: database_schema.to_string(),
        status: tenant_status(*status).into(),
        plan_slug: plan_slug.as_deref().map(str::to_owned),
        own: own.as_deref().map(own_terms),
    }
}

fn tenant_of(message: proto::Tenant, shared: &mut Shared) -> Result<Tenant, Unreadable> {
    let proto::Tenant { id, name, subdomain, database_schema, status, plan_slug, own } = message;
    let id = Uuid::from_slice(&id).map_err(|_| Unreadable::new("Tenant.id", "is no UUID"))?;
    Ok(Tenant {
        own: own.map(|own| own_terms_of(own, shared).map(Box::new)).transpose()?,
        plan_slug: plan_slug.map(|slug| shared.slug(&slug)),
        id: id.into(),
        name: name.into(),
        subdomain: subdomain.into(),
        database_schema: database_schema.into(),
        status: tenant_status_of(status)?,
    })
}

fn tenant_status(status: TenantStatus) -> proto::TenantStatus {
    match status {
        TenantStatus::Active => proto::TenantStatus::Active,
        TenantStatus::Pending => proto::TenantStatus::Pending,
        TenantStatus::PendingSetup => proto::TenantStatus::PendingSetup,
        TenantStatus::Suspended => proto::TenantStatus::Suspended,
        TenantStatus::Cancelled => proto::TenantStatus::Cancelled,
        TenantStatus::Failed => proto::TenantStatus::Failed,
        TenantStatus::Other => proto::TenantStatus::Other,
    }
}

fn tenant_status_of(status: i32) -> Result<TenantStatus, Unreadable> {
    Ok(match proto::TenantStatus::try_from(status) {
        Ok(proto::TenantStatus::Active) => TenantStatus::Active,
        Ok(proto::TenantStatus::Pending) => TenantStatus::Pending,
        Ok(proto::TenantStatus::PendingSetup) => TenantStatus::PendingSetup,
        Ok(proto::TenantStatus::Suspended) => TenantStatus::Suspended,
        Ok(proto::TenantStatus::Cancelled) => TenantStatus::Cancelled,
        Ok(proto::TenantStatus::Failed) => TenantStatus::Failed,
        Ok(proto::TenantStatus::Other) => TenantStatus::Other,
        Ok(proto::TenantStatus::Unspecified) | Err(_) => {
            return Err(Unreadable::unknown("Tenant.status"));
        }
    })
}

fn subscription(row: &HeldSubscription) -> proto::Subscription {
    let HeldSubscription { module, status, is_trial, starts_at, expires_at, trial_ends_at } = row;
    let status = match status {
        SubscriptionStatus::Active => proto::SubscriptionStatus::Active,
        SubscriptionStatus::Suspended => proto::SubscriptionStatus::Suspended,
        SubscriptionStatus::Cancelled => proto::SubscriptionStatus::Cancelled,
        SubscriptionStatus::Expired => proto::SubscriptionStatus::Expired,
        SubscriptionStatus::Other => proto::SubscriptionStatus::Other,
    };
    proto::Subscription {
        module_code: module.to_string(),
        status: status.into(),
        is_trial: *is_trial,
        starts_at: starts_at.map(instant),
        expires_at: expires_at.map(instant),
        trial_ends_at: trial_ends_at.map(instant),
    }
}

fn subscription_of(
    message: proto::Subscription,
    shared: &mut Shared,
) -> Result<HeldSubscription, Unreadable> {
    let proto::Subscription { module_code, status, is_trial, starts_at, expires_at, trial_ends_at } =
        message;
    let status = match proto::SubscriptionStatus::try_from(status) {
        Ok(proto::SubscriptionStatus::Active) => SubscriptionStatus::Active,
        Ok(proto::SubscriptionStatus::Suspended) => SubscriptionStatus::Suspended,
        Ok(proto::SubscriptionStatus::Cancelled) => SubscriptionStatus::Cancelled,
        Ok(proto::SubscriptionStatus::Expired) => SubscriptionStatus::Expired,
        Ok(proto::SubscriptionStatus::Other) => SubscriptionStatus::Other,
        Ok(proto::SubscriptionStatus::Unspecified) | Err(_) => {
            return Err(Unreadable::unknown("Subscription.status"));
        }
    };
    Ok(HeldSubscription {
        module: shared.code(&module_code),
        status,
        is_trial,
        starts_at: instant_of("Subscription.starts_at", starts_at)?,
        expires_at: instant_of("Subscription.expires_at", expires_at)?,
        trial_ends_at: instant_of("Subscription.trial_ends_at", trial_ends_at)?,
    })
}

fn own_terms(OwnTerms { flags, overrides, kept, zones }: &OwnTerms) -> proto::OwnTerms {
    let flag = |(module, key, Flag { is_on, value }): (&str, &str, Flag<'_>)| proto::Flag {
        module_code: module.to_owned(),
        key: key.to_owned(),
        is_on,
        value: value.map(setting),
    };
    let limit = |LimitOverride { key, value, ends_at }: &LimitOverride| proto::LimitOverride {
        key: key.to_string(),
        value: *value,
        ends_at: ends_at.map(instant),
    };
    proto::OwnTerms {
        flags: flags.iter().map(flag).collect(),
        overrides: overrides.iter().map(limit).collect(),
        kept: kept.as_deref().map(kept_terms),
        zones: zones.iter().copied().map(zone_from).collect(),
    }
}

fn own_terms_of(message: proto::OwnTerms, shared: &mut Shared) -> Result<OwnTerms, Unreadable> {
    let proto::OwnTerms { flags, overrides, kept, zones } = message;
    let mut rows = Vec::with_capacity(flags.len());
    for proto::Flag { module_code, key, is_on, value } in flags {
        let name = shared.flag(&module_code, &key);
        // There is one row for each name, so that nothing has to break a tie.
        let (updated_at, id) = (0, Uuid::nil());
        rows.push(FlagRow { name, is_on, value: setting_of(value)?, updated_at, id });
    }
    let mut limits = Vec::with_capacity(overrides.len());
    for proto::LimitOverride { key, value, ends_at } in overrides {
        let ends_at = instant_of("LimitOverride.ends_at", ends_at)?;
        limits.push(LimitOverride { key: shared.slug(&key), value, ends_at });
    }
    limits.sort_by(|one, other| one.key.cmp(&other.key));
    let kept = kept.map(|kept| kept_terms_of(kept, shared).map(Box::new)).transpose()?;
    let mut zones = zones.into_iter().map(zone_from_of).collect::<Result<Vec<_>, _>>()?;
    zones.sort_by_key(|zone| zone.from);
    Ok(OwnTerms { flags: Flags::of(rows), overrides: limits.into(), kept, zones: zones.into() })
}

fn zone_from(ZoneFrom { from, zone }: ZoneFrom) -> proto::ZoneFrom {
    let time_zone = zone.map_or_else(String::new, |zone| zone.name().to_owned());
    proto::ZoneFrom { from_month: from.to_string(), time_zone }
}

fn zone_from_of(message: proto::ZoneFrom) -> Result<ZoneFrom, Unreadable> {
    let proto::ZoneFrom { from_month, time_zone } = message;
    let from =
        Month::parse(&from_month).ok_or(Unreadable::new("ZoneFrom.from_month", "is no month"))?;
    let zone = parse_zone(&time_zone)
        .map_err(|_| Unreadable::new("ZoneFrom.time_zone", "is no zone that is known here"))?;
    Ok(ZoneFrom { from, zone })
}

fn kept_terms(kept: &KeptTerms) -> proto::KeptTerms {
    let feature = |KeptFeature { name, says, kept_at: KeptAt(at) }: &KeptFeature| {
        let (module, key) = name.parts();
        proto::KeptFeature {
            module_code: module.to_owned(),
            key: key.to_owned(),
            says: says.as_ref().map(plan_feature),
            kept_at: at.map(instant),
        }
    };
    let limit = |KeptLimit { key, value, kept_at: KeptAt(at) }: &KeptLimit| proto::KeptLimit {
        key: key.to_string(),
        value: *value,
        kept_at: at.map(instant),
    };
    proto::KeptTerms {
        features: kept.features().iter().map(feature).collect(),
        limits: kept.limits().iter().map(limit).collect(),
    }
}

fn kept_terms_of(message: proto::KeptTerms, shared: &mut Shared) -> Result<KeptTerms, Unreadable> {
    let proto::KeptTerms { features, limits } = message;
    let mut kept_features = Vec::with_capacity(features.len());
    for proto::KeptFeature { module_code, key, says, kept_at } in features {
        kept_features.push(KeptFeature {
            name: shared.flag(&module_code, &key),
            says: says.map(plan_feature_of).transpose()?,
            kept_at: KeptAt(instant_of("KeptFeature.kept_at", kept_at)?),
        });
    }
    let mut kept_limits = Vec::with_capacity(limits.len());
    for proto::KeptLimit { key, value, kept_at } in limits {
        let kept_at = KeptAt(instant_of("KeptLimit.kept_at", kept_at)?);
        kept_limits.push(KeptLimit { key: shared.slug(&key), value, kept_at });
    }
    Ok(KeptTerms::new(kept_features, kept_limits))
}
