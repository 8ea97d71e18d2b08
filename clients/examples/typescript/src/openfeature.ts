/** A provider for OpenFeature. A flag is a feature of a module, and the targeting key is the tenant. */

import {
  FlagNotFoundError,
  GeneralError,
  InvalidContextError,
  OpenFeatureEventEmitter,
  StandardResolutionReasons,
  TargetingKeyMissingError,
  TypeMismatchError,
  type EvaluationContext,
  type FlagMetadata,
  type JsonValue,
  type Provider,
  type ResolutionDetails,
} from "@openfeature/server-sdk";
import { DecisionReason } from "../gen/entitlement/v1/decision.js";
import { FeatureReason } from "../gen/entitlement/v1/feature.js";
import type { Client } from "./client.js";
import type { Feature } from "./features.js";
import { States } from "./openfeature-states.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UNSPECIFIED = "UNSPECIFIED";

const { DEFAULT, STALE, TARGETING_MATCH, UNKNOWN } = StandardResolutionReasons;
const REASONS = new Map<FeatureReason, string>([
  [FeatureReason.FEATURE_REASON_TENANT, TARGETING_MATCH],
  [FeatureReason.FEATURE_REASON_PLAN, TARGETING_MATCH],
  [FeatureReason.FEATURE_REASON_DEFAULT, DEFAULT],
  [FeatureReason.FEATURE_REASON_NOT_FOUND, DEFAULT],
  [FeatureReason.FEATURE_REASON_MODULE_DENIED, DEFAULT],
  [FeatureReason.FEATURE_REASON_VALUE_UNREADABLE, DEFAULT],
]);

/**
 * Answers OpenFeature's questions by features. A flag's key is "finance/multi_currency", the module and the feature's
 * key, and the targeting key is the tenant's UUID.
 *
 * A boolean is whether the feature is on. Off is false, also for a feature that there is not, and never the code's
 * default: that is what an error gives. Any other type is what the feature is set to. Where it is off, or set to nothing,
 * the code's default holds, with the reason DEFAULT.
 *
 *     await OpenFeature.setProviderAndWait(new EntitlementProvider(client));
 *     const tenant = { targetingKey: "00000000-0000-4000-8000-000000000001" };
 *     await OpenFeature.getClient().getBooleanValue("finance/multi_currency", false, tenant);
 *
 * The client stays the application's, and so does `watch`, without which the provider is always STALE.
 */
export class EntitlementProvider implements Provider {
  readonly runsOn = "server";
  readonly metadata = { name: "entitlementd" };
  readonly events = new OpenFeatureEventEmitter();
  readonly #client: Client;
  readonly #states: States;

  /** The client holds features from now on. `patience`: for how long to wait for changes at the start, in ms. */
  constructor(client: Client, patience = 2_000) {
    client.holdFeatures();
    this.#client = client;
    this.#states = new States(client, this.events, patience);
  }

  initialize(): Promise<void> {
    return this.#states.begin();
  }

  async onClose(): Promise<void> {
    this.#states.end();
  }

  async resolveBooleanEvaluation(flag: string, _: boolean, about: EvaluationContext) {
    const feature = await this.#ask(flag, about);
    return { value: feature.enabled, reason: reasonOf(feature), flagMetadata: metadataOf(feature) };
  }

  async resolveStringEvaluation(flag: string, fallback: string, about: EvaluationContext) {
    return valued(await this.#ask(flag, about), fallback, (value) => typeof value === "string");
  }

  async resolveNumberEvaluation(flag: string, fallback: number, about: EvaluationContext) {
    return valued(await this.#ask(flag, about), fallback, (value) => typeof value === "number");
  }

  /** An object, or a list. */
  async resolveObjectEvaluation<T extends JsonValue>(flag: string, fallback: T, about: EvaluationContext) {
    return valued(await this.#ask(flag, about), fallback, (value) => typeof value === "object");
  }

  async #ask(flag: string, { targetingKey }: EvaluationContext): Promise<Feature> {
    const [module, key] = named(flag);
    const tenant = tenantOf(targetingKey);
    return this.#client.feature(tenant, module, key).catch((error) => {
      // Its code is gRPC's, and would be taken for one of OpenFeature's.
      throw new GeneralError(String(error), { cause: error });
    });
  }
}

/** The module, and the feature's key. */
function named(flag: string): [module: string, key: string] {
  const slash = flag.indexOf("/");
  if (slash > 0 && slash < flag.length - 1) return [flag.slice(0, slash), flag.slice(slash + 1)];
  throw new FlagNotFoundError(`a flag's key is a module and a feature, finance/multi_currency, and not ${flag}`);
}

function tenantOf(targetingKey: string | undefined): string {
  if (!targetingKey) throw new TargetingKeyMissingError("the targeting key is the tenant's UUID");
  if (UUID.test(targetingKey)) return targetingKey;
  throw new InvalidContextError("the targeting key has to be the tenant's UUID, in the form of 36 characters");
}

/** What the feature is set to. */
function valued<T>(feature: Feature, fallback: T, is: (value: unknown) => boolean): ResolutionDetails<T> {
  const { enabled, stale, value } = feature;
  const flagMetadata = metadataOf(feature);
  if (!enabled || value === undefined || value === null) {
    return { value: fallback, reason: stale ? STALE : DEFAULT, flagMetadata };
  }
  if (!is(value)) throw new TypeMismatchError(`the feature is set to a value of the type ${typeof value}`);
  // A copy: others are given the same.
  return { value: structuredClone(value) as T, reason: reasonOf(feature), flagMetadata };
}

function reasonOf({ stale, reason }: Feature): string {
  return stale ? STALE : (REASONS.get(reason) ?? UNKNOWN);
}

function metadataOf({ reason, moduleReason, revision, stale }: Feature): FlagMetadata {
  const module = word(DecisionReason[moduleReason], "DECISION_REASON_");
  return {
    "entitlement.reason": word(FeatureReason[reason], "FEATURE_REASON_"),
    revision: Number(revision),
    stale,
    ...(module === UNSPECIFIED ? {} : { "module.reason": module }),
  };
}

/** A reason that only a newer server knows has no name. */
function word(name: string | undefined, prefix: string): string {
  return name?.startsWith(prefix) ? name.slice(prefix.length) : UNSPECIFIED;
}
