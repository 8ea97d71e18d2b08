/** What answers as the steps of a case say, in the place of the server. */

import { Metadata, status } from "@grpc/grpc-js";
import { DecisionReason, Freshness } from "../gen/entitlement/v1/decision.js";
import {
  CheckFeatureResponse,
  CheckModuleResponse,
  EnabledModule,
  ListEnabledModulesResponse,
  type CheckFeatureRequest,
  type CheckModuleRequest,
  type ListEnabledModulesRequest,
} from "../gen/entitlement/v1/entitlement_service.js";
import { Feature, FeatureDecision, FeatureReason, LimitEnforcement } from "../gen/entitlement/v1/feature.js";
import { TenantStatus } from "../gen/entitlement/v1/tenant.js";
import type { Now } from "../src/cache.js";
import type { Server } from "../src/client.js";

export type Right = { starts_at?: number; valid_until?: number };
export type Facts = {
  tenant: number;
  revision: number;
  modules: Record<string, Right> | null;
  max_age?: number;
  denial_max_age?: number;
  stale?: boolean;
  catalogue_revision?: number;
  features?: Record<string, Feature[]>;
  /** It knows no features. Is so of a server, but is told of one tenant. */
  isOlder?: boolean;
};

const BEGINNING = Date.parse("2026-06-01T00:00:00Z");
const NOBODY: Facts = { tenant: 0, revision: 0, modules: null };

export class ScriptedServer implements Server {
  second = 0;
  tenants = new Map<string, Facts>();
  fails: keyof typeof status | null = null;
  /** The revisions that it was asked for with. */
  asked: bigint[] = [];
  /** The answer to the next question is under way until this is called. */
  holdsNext = false;
  letGo: (() => void)[] = [];

  now = (): Now => ({ wall: BEGINNING + this.second * 1000, mono: this.second * 1000 });

  async listEnabledModules(request: ListEnabledModulesRequest): Promise<ListEnabledModulesResponse> {
    return this.#answer(request.tenantId, request.minRevision, (facts) => {
      if (facts.modules === null) throw failure("NOT_FOUND");
      const rights = Object.entries(facts.modules);
      const running = rights.filter(([, { valid_until }]) => this.second < (valid_until ?? Infinity));
      const hasFeatures = request.includeFeatures && !facts.isOlder;
      const modules = running.map(([code, { starts_at, valid_until }]) => {
        const features = hasFeatures ? facts.features?.[code] : undefined;
        const [startsAt, validUntil] = [instant(starts_at), instant(valid_until)];
        return EnabledModule.fromPartial({ code, startsAt, validUntil, features });
      });
      const freshness = this.#freshness(facts, facts.max_age ?? 30, rights.map(([, right]) => right));
      const tenantStatus = TenantStatus.TENANT_STATUS_ACTIVE;
      const limitEnforcement = hasFeatures ? LimitEnforcement.LIMIT_ENFORCEMENT_OFF : undefined;
      return ListEnabledModulesResponse.fromPartial({ modules, tenantStatus, freshness, limitEnforcement });
    });
  }

  async checkModule({ tenantId, moduleCode, minRevision }: CheckModuleRequest): Promise<CheckModuleResponse> {
    return this.#answer(tenantId, minRevision, (facts) => this.#decide(facts, moduleCode));
  }

  async checkFeature(request: CheckFeatureRequest): Promise<CheckFeatureResponse> {
    const { moduleCode, featureKey } = request;
    return this.#answer(request.tenantId, request.minRevision, (facts) => {
      if (facts.isOlder) throw failure("UNIMPLEMENTED");
      const { allowed, reason: moduleReason, freshness } = this.#decide(facts, moduleCode);
      const { FEATURE_REASON_MODULE_DENIED: denied, FEATURE_REASON_NOT_FOUND: notFound } = FeatureReason;
      const feature = allowed ? facts.features?.[moduleCode]?.find(({ key }) => key === featureKey) : undefined;
      const { enabled = false, reason = allowed ? notFound : denied, value } = feature ?? {};
      return { decision: FeatureDecision.fromPartial({ enabled, reason, value, moduleReason }), freshness };
    });
  }

  #decide(facts: Facts, module: string): CheckModuleResponse {
    const right = facts.modules?.[module];
    const hasStarted = (right?.starts_at ?? -Infinity) <= this.second;
    const allowed = right !== undefined && hasStarted && this.second < (right.valid_until ?? Infinity);
    const age = allowed ? (facts.max_age ?? 30) : (facts.denial_max_age ?? 5);
    const freshness = this.#freshness(facts, age, right ? [right] : []);
    const { DECISION_REASON_ENABLED: enabled, DECISION_REASON_NOT_SUBSCRIBED: notSubscribed } = DecisionReason;
    return { allowed, reason: allowed ? enabled : notSubscribed, message: "", freshness, planSlugs: [] };
  }

  /** What it would answer now, once it is no longer under way. */
  async #answer<Response>(id: string, least: bigint | undefined, by: (facts: Facts) => Response): Promise<Response> {
    this.asked.push(least ?? 0n);
    const isHeld = this.holdsNext;
    this.holdsNext = false;
    const answer = await Promise.allSettled([this.#now(this.tenants.get(id) ?? NOBODY, least ?? 0n, by)]);
    if (isHeld) await new Promise<void>((resolve) => this.letGo.push(resolve));
    if (answer[0].status === "rejected") throw answer[0].reason;
    return answer[0].value;
  }

  async #now<Response>(facts: Facts, least: bigint, by: (facts: Facts) => Response): Promise<Response> {
    if (this.fails !== null) throw failure(this.fails);
    if (least > BigInt(facts.revision)) throw failure("UNAVAILABLE", "its own");
    return by(facts);
  }

  #freshness(facts: Facts, age: number, rights: Right[]): Freshness {
    const changes = rights.flatMap(({ starts_at, valid_until }) => [starts_at ?? 0, valid_until ?? 0]);
    const ahead = changes.filter((second) => second > this.second);
    return {
      revision: BigInt(facts.revision),
      asOf: undefined,
      validUntil: instant(ahead.length > 0 ? Math.min(...ahead) : undefined),
      maxAge: { seconds: BigInt(age), nanos: 0 },
      stale: facts.stale ?? false,
      catalogueRevision: BigInt(facts.catalogue_revision ?? 0),
    };
  }
}

function instant(second?: number): { seconds: bigint; nanos: number } | undefined {
  return second === undefined ? undefined : { seconds: BigInt(BEGINNING / 1000 + second), nanos: 0 };
}

/** A status, and where it is the server's own, with details. */
function failure(word: keyof typeof status, details = ""): Error {
  const metadata = new Metadata();
  if (details) metadata.set("grpc-status-details-bin", Buffer.from(details));
  return Object.assign(new Error(word), { code: status[word], details, metadata });
}
