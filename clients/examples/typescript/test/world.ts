/** A tenant with features. */

import { Feature, FeatureReason } from "../gen/entitlement/v1/feature.js";
import type { Feature as Answer } from "../src/features.js";
import { Player, tenantId, type Story } from "./player.js";

export const {
  FEATURE_REASON_MODULE_DENIED: MODULE_DENIED,
  FEATURE_REASON_NOT_FOUND: NOT_FOUND,
  FEATURE_REASON_TENANT: BY_TENANT,
  FEATURE_REASON_PLAN: BY_PLAN,
  FEATURE_REASON_DEFAULT: BY_DEFAULT,
} = FeatureReason;

export function on(key: string, reason: FeatureReason, value?: unknown): Feature {
  return { key, enabled: true, reason, value };
}

export function off(key: string, reason: FeatureReason): Feature {
  return { key, enabled: false, reason, value: undefined };
}

/** Tenant 1 has finance, and these features in it. */
export class World extends Player {
  constructor(rule: Story<unknown>["rule"], features: Feature[], isOlder = false) {
    super(rule);
    const modules = { finance: {} };
    this.server.tenants.set(tenantId(1), { tenant: 1, revision: 9, modules, features: { finance: features }, isOlder });
    this.connect();
  }

  feature(module: string, key: string): Promise<Answer> {
    return this.client.feature(tenantId(1), module, key);
  }
}

/** The same, whose features are held. */
export function holding(rule: Story<unknown>["rule"], ...features: Feature[]): World {
  const world = new World(rule, features);
  world.client.holdFeatures();
  return world;
}
