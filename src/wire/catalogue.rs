//! The catalogue.

use std::collections::HashSet;

use super::{
    Shared, Unreadable,
    value::{instant, plan_feature, plan_feature_of, required_instant, setting, setting_of},
};
use crate::{
    domain::{
        Catalogue, Definitions, FeatureDefinition, LimitDefinition, LimitKind, Module, ModuleCode,
        Plan, PlanTerms, ValueType,
    },
    proto::replication as proto,
};

/// A catalogue as a message.
pub fn catalogue(catalogue: &Catalogue) -> proto::Catalogue {
    let definitions = catalogue.definitions();
    let alias = |(code, current): (&ModuleCode, &ModuleCode)| proto::Alias {
        code: code.to_string(),
        module_code: current.to_string(),
    };
    proto::Catalogue {
        as_of: Some(instant(catalogue.as_of)),
        revision: catalogue.revision,
        modules: catalogue.modules().into_iter().map(module).collect(),
        aliases: catalogue.aliases().map(alias).collect(),
        plans: catalogue.plans().iter().map(plan).collect(),
        features: definitions.features().map(|(code, one)| feature(code, one)).collect(),
        limits: definitions.limits().iter().map(limit).collect(),
        plan_terms: definitions.plan_terms().map(|(slug, terms)| plan_terms(slug, terms)).collect(),
    }
}

/// The catalogue that a message is of.
pub fn catalogue_of(
    message: proto::Catalogue,
    shared: &mut Shared,
) -> Result<Catalogue, Unreadable> {
    let proto::Catalogue { as_of, revision, modules, aliases, plans, features, limits, plan_terms } =
        message;
    let as_of = required_instant("Catalogue.as_of", as_of)?;
    let modules = modules.into_iter().map(|module| module_of(module, shared)).collect();
    let plans = plans.into_iter().map(|plan| plan_of(plan, shared)).collect();
    let aliases: Vec<_> = aliases
        .into_iter()
        .map(|proto::Alias { code, module_code }| (shared.code(&code), shared.code(&module_code)))
        .collect();
    let features = features.into_iter().map(|feature| feature_of(feature, shared));
    let features = features.collect::<Result<Vec<_>, _>>()?;
    let limits = limits.into_iter().map(limit_of).collect::<Result<Vec<_>, _>>()?;
    let plan_terms = plan_terms.into_iter().map(|terms| plan_terms_of(terms, shared));
    let plan_terms = plan_terms.collect::<Result<Vec<_>, _>>()?;
    let definitions = Definitions::new(features, limits, plan_terms);
    let catalogue = Catalogue::new(modules, plans, revision, as_of).with_aliases(aliases);
    Ok(catalogue.with_definitions(definitions))
}

fn module(module: &Module) -> proto::Module {
    let Module {
        code,
        name,
        category,
        display_order,
        is_base_module,
        is_active,
        sections,
        frontend_routes,
        api_endpoints,
    } = module;
    proto::Module {
        code: code.to_string(),
        name: name.clone(),
        category: category.clone(),
        display_order: *display_order,
        is_base_module: *is_base_module,
        is_active: *is_active,
        sections: sections.clone(),
        frontend_routes: frontend_routes.clone(),
        api_endpoints: api_endpoints.clone(),
    }
}

fn module_of(message: proto::Module, shared: &mut Shared) -> Module {
    let proto::Module {
        code,
        name,
        category,
        display_order,
        is_base_module,
        is_active,
        sections,
        frontend_routes,
        api_endpoints,
    } = message;
    Module {
        code: shared.code(&code),
        name,
        category,
        display_order,
        is_base_module,
        is_active,
        sections,
        frontend_routes,
        api_endpoints,
    }
}

fn plan(plan: &Plan) -> proto::Plan {
    let Plan { slug, is_active, modules: _ } = plan;
    proto::Plan { slug: slug.clone(), is_active: *is_active, module_codes: plan.codes() }
}

fn plan_of(message: proto::Plan, shared: &mut Shared) -> Plan {
    let proto::Plan { slug, is_active, module_codes } = message;
    let modules: HashSet<_> = module_codes.iter().map(|code| shared.code(code)).collect();
    Plan { slug, is_active, modules }
}

fn feature(module: &ModuleCode, defined: &FeatureDefinition) -> proto::FeatureDefinition {
    let FeatureDefinition { key, name, description, value_type, is_on_by_default, default_value } =
        defined;
    let value_type = match value_type {
        ValueType::Bool => proto::ValueType::Bool,
        ValueType::Int64 => proto::ValueType::Int64,
        ValueType::String => proto::ValueType::String,
        ValueType::Json => proto::ValueType::Json,
    };
    proto::FeatureDefinition {
        module_code: module.to_string(),
        key: key.to_string(),
        name: name.clone(),
        description: description.clone(),
        value_type: value_type.into(),
        is_on_by_default: *is_on_by_default,
        default_value: default_value.as_ref().map(setting),
    }
}

fn feature_of(
    message: proto::FeatureDefinition,
    shared: &mut Shared,
) -> Result<(ModuleCode, FeatureDefinition), Unreadable> {
    let proto::FeatureDefinition {
        module_code,
        key,
        name,
        description,
        value_type,
        is_on_by_default,
        default_value,
    } = message;
    let value_type = match proto::ValueType::try_from(value_type) {
        Ok(proto::ValueType::Bool) => ValueType::Bool,
        Ok(proto::ValueType::Int64) => ValueType::Int64,
        Ok(proto::ValueType::String) => ValueType::String,
        Ok(proto::ValueType::Json) => ValueType::Json,
        Ok(proto::ValueType::Unspecified) | Err(_) => {
            return Err(Unreadable::unknown("FeatureDefinition.value_type"));
        }
    };
    let default_value = setting_of(default_value)?;
    let key = key.into();
    let defined =
        FeatureDefinition { key, name, description, value_type, is_on_by_default, default_value };
    Ok((shared.code(&module_code), defined))
}

fn limit(LimitDefinition { key, name, unit, kind }: &LimitDefinition) -> proto::LimitDefinition {
    let kind = match kind {
        LimitKind::Level => proto::LimitKind::Level,
        LimitKind::Monthly => proto::LimitKind::Monthly,
    };
    let (key, kind) = (key.to_string(), kind.into());
    proto::LimitDefinition { key, name: name.clone(), unit: unit.clone(), kind }
}

fn limit_of(message: proto::LimitDefinition) -> Result<LimitDefinition, Unreadable> {
    let proto::LimitDefinition { key, name, unit, kind } = message;
    let kind = match proto::LimitKind::try_from(kind) {
        Ok(proto::LimitKind::Level) => LimitKind::Level,
        Ok(proto::LimitKind::Monthly) => LimitKind::Monthly,
        Ok(proto::LimitKind::Unspecified) | Err(_) => {
            return Err(Unreadable::unknown("LimitDefinition.kind"));
        }
    };
    Ok(LimitDefinition { key: key.into(), name, unit, kind })
}

fn plan_terms(slug: &str, PlanTerms { features, limits }: &PlanTerms) -> proto::PlanTerms {
    let features = features.iter().map(|(name, says)| {
        let (module, key) = name.parts();
        let (module_code, key) = (module.to_owned(), key.to_owned());
        proto::PlannedFeature { module_code, key, says: Some(plan_feature(says)) }
    });
    let limits = limits.iter().map(|(key, value)| {
        let key = key.to_string();
        proto::PlannedLimit { key, value: *value }
    });
    proto::PlanTerms {
        slug: slug.to_owned(),
        features: features.collect(),
        limits: limits.collect(),
    }
}

fn plan_terms_of(
    message: proto::PlanTerms,
    shared: &mut Shared,
) -> Result<(Box<str>, PlanTerms), Unreadable> {
    let proto::PlanTerms { slug, features, limits } = message;
    let mut terms = PlanTerms::default();
    for proto::PlannedFeature { module_code, key, says } in features {
        let says = says.ok_or(Unreadable::missing("PlannedFeature.says"))?;
        terms.features.insert(shared.flag(&module_code, &key), plan_feature_of(says)?);
    }
    let limits = limits.into_iter().map(|proto::PlannedLimit { key, value }| (key.into(), value));
    terms.limits = limits.collect();
    Ok((slug.into(), terms))
}
