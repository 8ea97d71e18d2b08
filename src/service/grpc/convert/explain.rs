//! Explanations, from the wire and to it.

use tonic::{Request, Status};

use super::{
    feature_terms::time_zone,
    features::{feature_decision, limit_decision, limit_kind, limit_reason, named_limit},
    requests::{Fields, caller},
    responses::{module_decision, outcome, subscriptions_facts, tenant_facts, timestamp},
};
use crate::{
    domain::{
        FeatureDefinition, KeptFeature, KeptLimit, KeyState, LimitDefinition, Module, PlanFeature,
        Setting,
        explain::{FeatureGrounds, LimitGrounds, TableLine, rules},
        limits::MAX_FEATURE_KEY_CHARS,
    },
    proto::v1 as pb,
    service::{
        cache_hint::CacheHint,
        explain::{
            ExplainQuery, Explanation, FeatureExplanation, FeatureWhy, LimitExplanation, LimitWhy,
            UsageEvidence,
        },
        feature::Named,
    },
    store::{Evidence, FlagEvidence, usage::CountedKey},
    usage::Refusal,
};

pub(in crate::service) fn explain_query(
    request: &Request<pb::ExplainModuleRequest>,
) -> Result<ExplainQuery<'_>, Status> {
    let pb::ExplainModuleRequest { tenant, module_code, at } = request.get_ref();
    let mut fields = Fields::default();
    let key = fields.tenant_key("tenant", tenant);
    fields.module("module_code", module_code);
    let at = fields.instant("at", at.as_ref());
    fields.all_good(key.map(|tenant| ExplainQuery {
        caller: caller(request),
        tenant,
        module: module_code,
        at,
    }))
}

pub(in crate::service) fn feature_why(
    request: &Request<pb::ExplainFeatureRequest>,
) -> Result<FeatureWhy<'_>, Status> {
    let pb::ExplainFeatureRequest { tenant, module_code, feature_key, at } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant_key("tenant", tenant);
    fields.module("module_code", module_code);
    fields.key("feature_key", feature_key, MAX_FEATURE_KEY_CHARS);
    let at = fields.instant("at", at.as_ref());
    let (caller, named) = (caller(request), Named { module: module_code, key: feature_key });
    fields.all_good(tenant.map(|tenant| FeatureWhy { caller, tenant, named, at }))
}

pub(in crate::service) fn limit_why(
    request: &Request<pb::ExplainLimitRequest>,
) -> Result<LimitWhy<'_>, Status> {
    let pb::ExplainLimitRequest { tenant, limit_key, at, observed, amount } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant_key("tenant", tenant);
    let limit = named_limit(&mut fields, limit_key, *observed, *amount);
    let at = fields.instant("at", at.as_ref());
    let caller = caller(request);
    fields.all_good(tenant.map(|tenant| LimitWhy { caller, tenant, limit, at }))
}

pub(in crate::service) fn explain_response(
    explanation: Explanation<'_>,
) -> pb::ExplainModuleResponse {
    let Explanation { at, evidence, catalogue, deciding, judgement, cached } = explanation;
    let module = judgement.module;
    let rows = |evidence: &Evidence| {
        subscriptions_facts(evidence, catalogue.code_of_now(module), at, deciding)
    };
    let cached = cached.map(|judgement| {
        let held = held(judgement.hint);
        pb::CachedAnswer { decision: Some(module_decision(judgement)), ..held }
    });
    pb::ExplainModuleResponse {
        at: Some(timestamp(at)),
        rules: rules(judgement.decision).map(rule).collect(),
        tenant: evidence.as_ref().map(tenant_facts),
        module: catalogue.module(module).map(module_facts),
        subscriptions: evidence.as_ref().map(rows).unwrap_or_default(),
        revision: judgement.hint.revision,
        decision: Some(module_decision(judgement)),
        cached: Some(cached.unwrap_or_default()),
    }
}

pub(in crate::service) fn feature_explanation(
    explanation: FeatureExplanation<'_>,
) -> pb::ExplainFeatureResponse {
    let FeatureExplanation { at, evidence, catalogue, module, judgement, cached } = explanation;
    let Named { module: asked, key } = judgement.named;
    let (code, facts) =
        (catalogue.code_of_now(asked), evidence.as_ref().map(|evidence| &evidence.facts));
    let grounds = FeatureGrounds::of(facts, &catalogue, asked, key, at);
    let flags = evidence.as_ref().map(|evidence| evidence.flags_of(code, key)).unwrap_or_default();
    let plan = grounds.plan.zip(grounds.said.planned);
    let cached = cached.map(|judgement| {
        let held = held(judgement.hint);
        pb::CachedAnswer { feature: Some(feature_decision(judgement)), ..held }
    });
    pb::ExplainFeatureResponse {
        at: Some(timestamp(at)),
        rules: grounds.lines().into_iter().map(rule).collect(),
        tenant: evidence.as_ref().map(tenant_facts),
        module: catalogue.module(asked).map(module_facts),
        flags: (0..)
            .zip(flags)
            .map(|(place, flag)| flag_facts(flag, place == 0 && grounds.is_by_flag()))
            .collect(),
        plan: plan.map(|(slug, planned)| plan_feature_facts(slug, planned)),
        definition: grounds.said.defined.map(|defined| feature_facts(code, defined)),
        module_decision: Some(module_decision(module)),
        revision: judgement.hint.revision,
        decision: Some(feature_decision(judgement)),
        cached: Some(cached.unwrap_or_default()),
        catalogue_revision: catalogue.revision,
        kept: grounds.said.kept.map(kept_feature_facts),
    }
}

pub(in crate::service) fn limit_explanation(
    explanation: LimitExplanation<'_>,
) -> pb::ExplainLimitResponse {
    let LimitExplanation { at, evidence, catalogue, judgement, cached, usage } = explanation;
    let cached = cached.map(|judgement| {
        let held = held(judgement.hint);
        pb::CachedAnswer { limit: Some(limit_decision(judgement)), ..held }
    });
    let facts = evidence.as_ref().map(|evidence| &evidence.facts);
    let grounds = LimitGrounds::of(facts, &catalogue, judgement.key, judgement.wanted, at);
    pb::ExplainLimitResponse {
        at: Some(timestamp(at)),
        rules: grounds.lines().into_iter().map(rule).collect(),
        tenant: evidence.as_ref().map(tenant_facts),
        limit_override: override_facts(&grounds, evidence.as_ref()),
        plan: grounds
            .plan
            .map(|slug| pb::PlanLimitFacts { plan_slug: slug.to_owned(), limit: grounds.planned }),
        definition: grounds.defined.map(limit_facts),
        revision: judgement.hint.revision,
        decision: Some(limit_decision(judgement)),
        cached: Some(cached.unwrap_or_default()),
        catalogue_revision: catalogue.revision,
        kept: grounds.kept.map(kept_limit_facts),
        usage: usage.map(usage_facts),
    }
}

/// What a cached answer rests on.
fn held(hint: CacheHint) -> pb::CachedAnswer {
    pb::CachedAnswer {
        held: true,
        revision: hint.revision,
        as_of: Some(timestamp(hint.as_of)),
        ..pb::CachedAnswer::default()
    }
}

fn rule(line: TableLine) -> pb::Rule {
    pb::Rule {
        order: line.order.into(),
        condition: line.condition.to_owned(),
        outcome: outcome(line.outcome).into(),
        found: line.found,
    }
}

fn module_facts(module: &Module) -> pb::ModuleFacts {
    pb::ModuleFacts {
        code: module.code.to_string(),
        name: module.name.clone(),
        is_active: module.is_active,
    }
}

fn flag_facts(flag: &FlagEvidence, decides: bool) -> pb::FlagFacts {
    pb::FlagFacts {
        id: flag.row.id.to_string(),
        module_code: flag.module_code.clone(),
        is_enabled: flag.is_enabled,
        config: flag.config.clone(),
        updated_at: flag.updated_at.map(timestamp),
        decides,
    }
}

fn feature_facts(code: &str, defined: &FeatureDefinition) -> pb::FeatureFacts {
    pb::FeatureFacts {
        module_code: code.to_owned(),
        key: defined.key.to_string(),
        name: defined.name.clone(),
        description: defined.description.clone(),
        value_type: defined.value_type.word().to_owned(),
        is_on_by_default: defined.is_on_by_default,
        default_value: defined.default_value.as_ref().map(Setting::json),
    }
}

fn plan_feature_facts(slug: &str, planned: &PlanFeature) -> pb::PlanFeatureFacts {
    pb::PlanFeatureFacts {
        plan_slug: slug.to_owned(),
        enabled: planned.is_on,
        value: planned.value.as_ref().map(Setting::json),
    }
}

fn kept_feature_facts(kept: &KeptFeature) -> pb::KeptFeatureFacts {
    let says = kept.says.as_ref();
    pb::KeptFeatureFacts {
        enabled: says.map(|says| says.is_on),
        value: says.and_then(|says| says.value.as_ref()).map(Setting::json),
        kept_at: kept.kept_at.0.map(timestamp),
    }
}

fn kept_limit_facts(kept: &KeptLimit) -> pb::KeptLimitFacts {
    pb::KeptLimitFacts { limit: kept.value, kept_at: kept.kept_at.0.map(timestamp) }
}

fn usage_facts(usage: UsageEvidence) -> pb::UsageFacts {
    pb::UsageFacts {
        used: usage.counter.used,
        held: usage.counter.held,
        period: usage.period.to_string(),
        resets_at: usage.resets_at.map(timestamp),
        keys: usage.keys.into_iter().map(usage_key_facts).collect(),
        refusals: usage.refusals.into_iter().map(usage_refusal_facts).collect(),
        time_zone: usage.zones.map(time_zone),
    }
}

fn usage_refusal_facts(Refusal { key, amount, reason, at, .. }: Refusal) -> pb::UsageRefusalFacts {
    pb::UsageRefusalFacts {
        key: key.as_str().to_owned(),
        amount,
        reason: limit_reason(reason).into(),
        refused_at: Some(timestamp(at)),
    }
}

fn usage_key_facts(CountedKey { key, row, changed_at }: CountedKey) -> pb::UsageKeyFacts {
    let held_until = match row.state {
        KeyState::Held(until) => Some(timestamp(until)),
        KeyState::Counted | KeyState::Released => None,
    };
    pb::UsageKeyFacts {
        key,
        amount: row.amount,
        state: row.state.word().to_owned(),
        changed_at: Some(timestamp(changed_at)),
        held_until,
        period: row.period.to_string(),
        module_code: row.module.to_string(),
        used_amount: row.used,
        lease_holder: row.lease.map(|lease| lease.holder.to_string()).unwrap_or_default(),
        corrects_key: row.corrects.to_string(),
    }
}

fn limit_facts(defined: &LimitDefinition) -> pb::LimitFacts {
    pb::LimitFacts {
        key: defined.key.to_string(),
        name: defined.name.clone(),
        unit: defined.unit.clone(),
        kind: limit_kind(defined.kind).into(),
        is_column_of_plans: LimitDefinition::is_built_in(&defined.key),
    }
}

fn override_facts(
    grounds: &LimitGrounds<'_>,
    evidence: Option<&Evidence>,
) -> Option<pb::LimitOverrideFacts> {
    let own = grounds.own?;
    Some(pb::LimitOverrideFacts {
        value: own.value,
        ends_at: grounds.ends_at().map(timestamp),
        reason: evidence?.reason_of_override(&own.key).to_owned(),
        is_over: grounds.is_over(),
    })
}
