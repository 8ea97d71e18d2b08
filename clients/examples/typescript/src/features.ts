/** Whether a feature is on, by what decides it. */

import { DecisionReason, Freshness } from "../gen/entitlement/v1/decision.js";
import { CheckModuleResponse, type CheckFeatureResponse } from "../gen/entitlement/v1/entitlement_service.js";
import { Feature as Listed, FeatureReason } from "../gen/entitlement/v1/feature.js";
import { entryOf, type About, type Held, type Question } from "./cache.js";

/** `byRule` without a reason: nobody could be asked, so answer "off" with 503 rather than 403. */
export type Feature = {
  enabled: boolean;
  stale: boolean;
  byRule: boolean;
  reason: FeatureReason;
  moduleReason: DecisionReason;
  /** As JSON has it. Undefined or null: it has none, or is off. Others are given the same: do not change it. */
  value: unknown;
  revision: bigint;
};

const ENABLED = DecisionReason.DECISION_REASON_ENABLED;
const MODULE_DENIED = FeatureReason.FEATURE_REASON_MODULE_DENIED;

type Said = Pick<Feature, "enabled" | "reason" | "moduleReason" | "value">;

const UNKNOWN: Said = {
  enabled: false,
  reason: FeatureReason.FEATURE_REASON_UNSPECIFIED,
  moduleReason: DecisionReason.DECISION_REASON_UNSPECIFIED,
  value: undefined,
};

export function featureOf(held: Held, about: About, byRule: boolean): Feature {
  const { enabled, reason, moduleReason, value } = said(held, about);
  const { stale, revision } = held.fresh;
  return { enabled, reason, moduleReason, value, stale: stale || byRule, byRule, revision };
}

/** What the rule says where nothing is held that decides. */
export function ruled(enabled: boolean): Feature {
  return { ...UNKNOWN, enabled, stale: true, byRule: true, revision: 0n };
}

type Decision = Pick<Held, "list" | "decision" | "feature">;

export function said({ list, decision, feature }: Decision, about: Omit<About, "id">): Said {
  if (list) return { ...listed(entryOf(list, about.module)?.features ?? [], about.feature), moduleReason: ENABLED };
  if (decision) return { ...UNKNOWN, reason: MODULE_DENIED, moduleReason: decision.reason };
  return feature ?? UNKNOWN;
}

/** A list that decides has all features of the module, at its revision. */
function listed(features: Listed[], key: string | undefined): Listed {
  const found = features.find((feature) => feature.key === key);
  return found ?? Listed.create({ reason: FeatureReason.FEATURE_REASON_NOT_FOUND });
}

/** An answer of CheckFeature. That a module is denied answers for each of its features, and is held. */
export function taken(question: Question, { decision, freshness }: CheckFeatureResponse): Held {
  const fresh = freshness ?? Freshness.create();
  if (decision?.reason !== MODULE_DENIED) return { ...question, feature: decision, fresh };
  // The plans that it names have the feature as well: others may have the module alone.
  const { moduleReason: reason, message } = decision;
  return { ...question, decision: CheckModuleResponse.create({ reason, message }), fresh };
}
