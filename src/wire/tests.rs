use chrono::{DateTime, TimeDelta, Utc};
use proptest::{collection::vec, option, prelude::*};
use prost::Message;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        Catalogue, Definitions, Facts, FeatureDefinition, FlagName, FlagRow, Flags, KeptAt,
        KeptFeature, KeptLimit, KeptTerms, LimitDefinition, LimitKind, LimitOverride, Module,
        ModuleCode, OwnTerms, Plan, PlanFeature, PlanTerms, Setting, Subscription,
        SubscriptionStatus, Tenant, TenantStatus, ValueType,
        calendar::{Month, ZoneFrom},
    },
    proto::replication as proto,
};

fn instants() -> impl Strategy<Value = DateTime<Utc>> {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let any = (first.timestamp()..=last.timestamp(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap());
    prop_oneof![8 => any, 1 => Just(first), 1 => Just(last)]
}

/// A word that others are likely to have too.
fn words() -> impl Strategy<Value = String> {
    prop_oneof!["[abc]{0,2}", r"\PC{0,20}"]
}

fn settings() -> impl Strategy<Value = Setting> {
    prop_oneof![
        any::<bool>().prop_map(Setting::Bool),
        any::<i64>().prop_map(Setting::Int64),
        words().prop_map(|text| Setting::String(text.into())),
        words().prop_map(|text| Setting::Json(text.into())),
        Just(Setting::Unreadable),
    ]
}

fn flag_names() -> impl Strategy<Value = FlagName> {
    (words(), words()).prop_map(|(module, key)| FlagName::new(&FlagName::text(&module, &key)))
}

fn plan_features() -> impl Strategy<Value = PlanFeature> {
    (any::<bool>(), option::of(settings())).prop_map(|(is_on, value)| PlanFeature { is_on, value })
}

fn subscriptions() -> impl Strategy<Value = Subscription> {
    let status = prop::sample::select(vec![
        SubscriptionStatus::Active,
        SubscriptionStatus::Suspended,
        SubscriptionStatus::Cancelled,
        SubscriptionStatus::Expired,
        SubscriptionStatus::Other,
    ]);
    let at = || option::of(instants());
    (any::<u128>(), words(), status, at(), at(), any::<bool>(), at()).prop_map(
        |(id, module, status, starts_at, expires_at, is_trial, trial_ends_at)| Subscription {
            id: Uuid::from_u128(id),
            module: ModuleCode::new(&module),
            status,
            starts_at,
            expires_at,
            is_trial,
            trial_ends_at,
        },
    )
}

fn flags() -> impl Strategy<Value = Flags> {
    let row = (flag_names(), any::<bool>(), option::of(settings()), any::<i64>()).prop_map(
        |(name, is_on, value, updated_at)| FlagRow {
            name,
            is_on,
            value,
            updated_at,
            id: Uuid::nil(),
        },
    );
    vec(row, 0..6).prop_map(Flags::of)
}

fn kept() -> impl Strategy<Value = KeptTerms> {
    let feature = (flag_names(), option::of(plan_features()), option::of(instants()))
        .prop_map(|(name, says, at)| KeptFeature { name, says, kept_at: KeptAt(at) });
    let limit = (words(), option::of(any::<i64>()), option::of(instants()))
        .prop_map(|(key, value, at)| KeptLimit { key: key.into(), value, kept_at: KeptAt(at) });
    (vec(feature, 0..4), vec(limit, 0..4))
        .prop_map(|(features, limits)| KeptTerms::new(features, limits))
}

fn zones() -> impl Strategy<Value = ZoneFrom> {
    let zone = option::of(prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()));
    (0..10_000_u32, 1..13_u32, zone).prop_map(|(year, month, zone)| ZoneFrom {
        from: Month::parse(&format!("{year:04}-{month:02}")).unwrap(),
        zone,
    })
}

fn own() -> impl Strategy<Value = OwnTerms> {
    let limit = (words(), option::of(any::<i64>()), option::of(instants()))
        .prop_map(|(key, value, ends_at)| LimitOverride { key: key.into(), value, ends_at });
    let parts = (flags(), vec(limit, 0..4), option::of(kept()), vec(zones(), 0..3));
    parts.prop_map(|(flags, mut overrides, kept, mut zones)| {
        overrides.sort_by(|one, other| one.key.cmp(&other.key));
        zones.sort_by_key(|zone| zone.from);
        let (overrides, kept, zones) = (overrides.into(), kept.map(Box::new), zones.into());
        OwnTerms { flags, overrides, kept, zones }
    })
}

prop_compose! {
    fn tenants()(
        id in any::<u128>(),
        texts in [words(), words(), words()],
        status in prop::sample::select(vec![
            TenantStatus::Active,
            TenantStatus::Pending,
            TenantStatus::PendingSetup,
            TenantStatus::Suspended,
            TenantStatus::Cancelled,
            TenantStatus::Failed,
            TenantStatus::Other,
        ]),
        plan in option::of(words()),
        own in option::of(own()),
    ) -> Tenant {
        let [name, subdomain, database_schema] = texts.map(String::into_boxed_str);
        Tenant {
            own: own.map(Box::new),
            plan_slug: plan.map(Into::into),
            id: Uuid::from_u128(id).into(),
            name,
            subdomain,
            database_schema,
            status,
        }
    }
}

prop_compose! {
    fn any_facts()(
        tenant in tenants(),
        rows in vec(subscriptions(), 0..24),
        revision in any::<u64>(),
        as_of in instants(),
    ) -> Facts {
        Facts::new(tenant, rows, revision, as_of)
    }
}

fn modules() -> impl Strategy<Value = Module> {
    let lists = (vec(any::<i32>(), 0..3), vec(words(), 0..3), vec(words(), 0..3));
    let bits = (any::<i32>(), any::<bool>(), any::<bool>());
    ([words(), words(), words()], bits, lists).prop_map(|(texts, bits, lists)| {
        let [code, name, category] = texts;
        let (display_order, is_base_module, is_active) = bits;
        let (sections, frontend_routes, api_endpoints) = lists;
        Module {
            code: ModuleCode::new(&code),
            name,
            category,
            display_order,
            is_base_module,
            is_active,
            sections,
            frontend_routes,
            api_endpoints,
        }
    })
}

fn definitions() -> impl Strategy<Value = Definitions> {
    let kind = prop::sample::select(ValueType::ALL.to_vec());
    let feature =
        ([words(), words(), words(), words()], kind, any::<bool>(), option::of(settings()))
            .prop_map(|([module, key, name, description], value_type, is_on, default_value)| {
                let defined = FeatureDefinition {
                    key: key.into(),
                    name,
                    description,
                    value_type,
                    is_on_by_default: is_on,
                    default_value,
                };
                (ModuleCode::new(&module), defined)
            });
    let limit =
        ([words(), words(), words()], any::<bool>()).prop_map(|([key, name, unit], level)| {
            let kind = if level { LimitKind::Level } else { LimitKind::Monthly };
            LimitDefinition { key: key.into(), name, unit, kind }
        });
    let says = (vec((flag_names(), plan_features()), 0..3), vec((words(), any::<i64>()), 0..3));
    let plan = (words(), says).prop_map(|(slug, (features, limits))| {
        let limits = limits.into_iter().map(|(key, value)| (key.into(), value)).collect();
        (slug.into(), PlanTerms { features: features.into_iter().collect(), limits })
    });
    (vec(feature, 0..4), vec(limit, 0..4), vec(plan, 0..4))
        .prop_map(|(features, limits, plans)| Definitions::new(features, limits, plans))
}

prop_compose! {
    fn catalogues()(
        modules in vec(modules(), 0..5),
        aliases in vec((words(), words()), 0..4),
        plans in vec((words(), any::<bool>(), vec(words(), 0..4)), 0..4),
        definitions in definitions(),
        revision in any::<u64>(),
        as_of in instants(),
    ) -> Catalogue {
        let code = |code: &String| ModuleCode::new(code);
        let plans = plans.iter().map(|(slug, is_active, modules)| Plan {
            slug: slug.clone(),
            is_active: *is_active,
            modules: modules.iter().map(code).collect(),
        });
        let aliases = aliases.iter().map(|(from, to)| (code(from), code(to)));
        Catalogue::new(modules, plans.collect(), revision, as_of)
            .with_aliases(aliases)
            .with_definitions(definitions)
    }
}

proptest! {
    #[test]
    fn facts_come_back_as_they_were(before in any_facts()) {
        let bytes = facts(&before).encode_to_vec();
        let message = proto::Facts::decode(&*bytes).unwrap();
        prop_assert_eq!(facts_of(message, &mut Shared::default()).unwrap(), before);
    }

    #[test]
    fn a_catalogue_comes_back_as_it_was(before in catalogues()) {
        let bytes = catalogue(&before).encode_to_vec();
        let message = proto::Catalogue::decode(&*bytes).unwrap();
        let after = catalogue_of(message, &mut Shared::default()).unwrap();
        prop_assert!(after.says_the_same_as(&before));
        prop_assert_eq!((after.as_of, after.revision), (before.as_of, before.revision));
    }

    /// Whoever reads files reads torn ones, too.
    #[test]
    fn no_bytes_break_what_reads_them(bytes in vec(any::<u8>(), 0..200)) {
        let mut shared = Shared::default();
        _ = proto::Facts::decode(&*bytes).map(|message| facts_of(message, &mut shared));
        _ = proto::Catalogue::decode(&*bytes).map(|message| catalogue_of(message, &mut shared));
    }
}

/// A tenant as there are many: ten modules, with the microseconds that databases have.
fn usual() -> Facts {
    let at = |micros: i64| DateTime::from_timestamp_micros(1_795_435_200_123_456 + micros);
    let modules = [
        "finance",
        "hrms",
        "inventory",
        "crm",
        "manufacturing",
        "procurement",
        "projects",
        "sales",
        "quality",
        "warehouse",
    ];
    let row = |(number, module): (usize, &str)| Subscription {
        id: Uuid::from_u128(number as u128),
        module: ModuleCode::new(module),
        status: SubscriptionStatus::Active,
        starts_at: at(0),
        expires_at: at(31_536_000_000_000),
        is_trial: number == 3,
        trial_ends_at: (number == 3).then(|| at(1_209_600_000_000).unwrap()),
    };
    let tenant = Tenant {
        own: None,
        plan_slug: Some("professional".into()),
        id: Uuid::from_u128(u128::MAX).into(),
        name: "Acme Manufacturing Private Limited".into(),
        subdomain: "acme-manufacturing".into(),
        database_schema: "tenant_acme_manufacturing".into(),
        status: TenantStatus::Active,
    };
    let rows = modules.into_iter().enumerate().map(row).collect();
    Facts::new(tenant, rows, 1_234_567, at(5).unwrap())
}

#[test]
fn a_tenant_with_ten_subscriptions_takes_at_most_600_bytes() {
    let length = facts(&usual()).encoded_len();
    assert!(length <= 600, "{length}");
}

/// What reading a message says that was changed like this.
fn refusal(change: impl FnOnce(&mut proto::Facts, &mut proto::Tenant)) -> Unreadable {
    let mut message = facts(&usual());
    let mut tenant = message.tenant.take().unwrap();
    change(&mut message, &mut tenant);
    message.tenant.get_or_insert(tenant);
    facts_of(message, &mut Shared::default()).unwrap_err()
}

/// The same with this time zone.
fn zoned(from_month: &str, time_zone: &str) -> Unreadable {
    let (from_month, time_zone) = (from_month.to_owned(), time_zone.to_owned());
    let zones = vec![proto::ZoneFrom { from_month, time_zone }];
    refusal(|_, tenant| tenant.own = Some(proto::OwnTerms { zones, ..Default::default() }))
}

#[test]
fn what_cannot_be_read_back_is_named() {
    let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let negative = prost_types::Timestamp { seconds: 0, nanos: -1 };
    for (found, field) in [
        (refusal(|_, tenant| tenant.id.truncate(15)), "Tenant.id"),
        (refusal(|_, tenant| tenant.status = 0), "Tenant.status"),
        (refusal(|_, tenant| tenant.status = 99), "Tenant.status"),
        (refusal(|facts, _| facts.as_of = None), "Facts.as_of"),
        (refusal(|facts, _| facts.as_of = Some(far)), "Facts.as_of"),
        (refusal(|facts, _| facts.subscriptions[0].status = 0), "Subscription.status"),
        (
            refusal(|facts, _| facts.subscriptions[9].expires_at = Some(negative)),
            "Subscription.expires_at",
        ),
        (
            refusal(|_, tenant| {
                let value = Some(proto::Setting::default());
                let flag = proto::Flag { value, ..Default::default() };
                tenant.own = Some(proto::OwnTerms { flags: vec![flag], ..Default::default() });
            }),
            "Setting.kind",
        ),
        (zoned("2026-13", "UTC"), "ZoneFrom.from_month"),
        (zoned("2026-12", "Mars/Olympus_Mons"), "ZoneFrom.time_zone"),
    ] {
        assert_eq!(found.field, field, "{found}");
    }
    let nobody = proto::Facts::default();
    assert_eq!(facts_of(nobody, &mut Shared::default()).unwrap_err().field, "Facts.tenant");
}

#[test]
fn what_many_tenants_name_is_held_once() {
    let mut shared = Shared::default();
    let [one, other] = [1, 2].map(|seconds| {
        let mut message = facts(&usual());
        message.as_of = Some(instant(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)));
        facts_of(message, &mut shared).unwrap()
    });
    let plan = |facts: &Facts| std::sync::Arc::clone(facts.tenant.plan_slug.as_ref().unwrap());
    assert!(std::sync::Arc::ptr_eq(&plan(&one), &plan(&other)));
    let code = |facts: &Facts| facts.rows()[0].module.as_str().as_ptr();
    assert_eq!(code(&one), code(&other));
}
