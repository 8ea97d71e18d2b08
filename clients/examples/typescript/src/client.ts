/** Asks the server where nothing is held, and answers by a rule where the server cannot be asked. */

import { DecisionReason, Freshness } from "../gen/entitlement/v1/decision.js";
import type {
  CheckModuleRequest,
  CheckModuleResponse,
  ListEnabledModulesRequest,
  ListEnabledModulesResponse,
  WatchChangesResponse,
} from "../gen/entitlement/v1/entitlement_service.js";
import { Cache, grants, isGood, TRUST, type Held, type Now, type Question } from "./cache.js";
import { isAboutNobody, isOutage, Outage, OUTAGE } from "./outage.js";

const SENTENCE =
  "It cannot be checked at the moment whether your account may use this. Please try again in a moment.";

/**
 * What is answered while the server cannot be asked. `serveStale`: what is held, if the server vouched for it no more
 * milliseconds ago than that.
 */
export type Rule = "deny" | "allow" | { serveStale: number };

/** `byRule`: nobody could be asked, so answer a denial with 503 rather than 403. */
export type Answer = {
  allowed: boolean;
  stale: boolean;
  byRule: boolean;
  reason: DecisionReason;
  message: string;
  planSlugs: string[];
};

/** The server's methods. Each ends within 2 s. */
export interface Server {
  listEnabledModules(request: ListEnabledModulesRequest): Promise<ListEnabledModulesResponse>;
  checkModule(request: CheckModuleRequest): Promise<CheckModuleResponse>;
}

type Asked = Omit<CheckModuleRequest, "moduleCode">;
type About = { id: string; module?: string };

export class Client {
  readonly #cache = new Cache();
  readonly #outage = new Outage();
  /** When the stream last told anything. */
  #heard = -Infinity;

  constructor(readonly server: Server, readonly rule: Rule, readonly now: () => Now) {}

  /** Takes in what the stream of changes tells. */
  hear(event: WatchChangesResponse): void {
    const now = this.now();
    this.#heard = now.mono;
    this.#cache.hear(event, now);
    if (event.event?.$case === "opened") this.#outage.end();
  }

  /** The stream is over. */
  ended(): void {
    this.#cache.end();
  }

  /**
   * Answers from what is held, else by the server, else by the rule. `least`: the revision that the answer has at
   * least, for who reads their own write. Throws what the server refuses the question with.
   */
  async check(tenant: string, module: string, least = 0n): Promise<Answer> {
    const id = tenant.toLowerCase();
    const known = this.#look(id, module, least);
    if (known) return known;
    try {
      const list = await this.#ask({ id }, least).catch(unlessAboutNobody);
      if (list && grants(list, module, this.now())) return answer(list);
      return answer(await this.#ask({ id, module }, least));
    } catch (error) {
      if (!isOutage(error)) throw error;
      return this.#stale(id, module, least) ?? this.#byRule();
    }
  }

  #look(id: string, module: string, least: bigint): Answer | undefined {
    const now = this.now();
    const found = this.#cache.find(id, module, least, now);
    if (found) return answer(found);
    const { stream } = this.#cache;
    const isSilent = stream.isOpen && now.mono - this.#heard > TRUST;
    if (!isSilent && (!this.#outage.isMet || stream.isTrusted(now))) return undefined;
    // An outage is known: nobody waits who holds an answer, and whether it is over is found out beside.
    const stale = this.#stale(id, module, least);
    if (stale && this.#outage.probes(now)) this.#call({ id }, this.#cache.begin(id, least, now)).catch(() => {});
    return stale;
  }

  #stale(id: string, module: string, least: bigint): Answer | undefined {
    if (typeof this.rule === "string") return undefined;
    const held = this.#cache.stale(id, module, least, this.rule.serveStale, this.now());
    return held && { ...answer(held), stale: true, byRule: true };
  }

  #byRule(): Answer {
    const allowed = this.rule === "allow";
    const reason = DecisionReason.DECISION_REASON_UNSPECIFIED;
    return { allowed, stale: true, byRule: true, reason, message: allowed ? "" : SENTENCE, planSlugs: [] };
  }

  /** What the server answers, to all who have the same question while no news comes. */
  async #ask(about: About, least: bigint): Promise<Held> {
    const now = this.now();
    const question = this.#cache.begin(about.id, least, now);
    const { list, flights } = question.tenant;
    if (about.module === undefined && list && isGood(list, question.least, now)) return list;
    const key = JSON.stringify([question.stream.number, String(question.least), about.module]);
    const flight = flights.get(key);
    if (flight) return flight;
    const { asks, waits } = this.#outage.turn(now);
    if (!asks) throw OUTAGE;
    const call = this.#call(about, question);
    if (!waits) {
      call.catch(() => {});
      throw OUTAGE;
    }
    flights.set(key, call);
    return call.finally(() => flights.delete(key));
  }

  async #call({ id, module }: About, question: Question): Promise<Held> {
    try {
      const held = await this.#send({ tenantId: id, minRevision: question.least, at: undefined }, module, question);
      this.#outage.note(undefined, this.now());
      this.#cache.keep(module ?? "", held);
      return held;
    } catch (error) {
      // Where a stream has opened since, the server is back already.
      const isBack = this.#cache.stream.isOpen && this.#cache.stream !== question.stream;
      if (!isBack) this.#outage.note(error, this.now());
      throw error;
    }
  }

  async #send(request: Asked, module: string | undefined, question: Question): Promise<Held> {
    if (module === undefined) {
      const whole = { ...request, includeUpcoming: true, includeFeatures: false };
      const list = await this.server.listEnabledModules(whole);
      return { ...question, list, fresh: list.freshness ?? Freshness.create() };
    }
    const decision = await this.server.checkModule({ ...request, moduleCode: module });
    return { ...question, decision, fresh: decision.freshness ?? Freshness.create() };
  }
}

function answer({ decision, fresh }: Held): Answer {
  const granted = { allowed: true, reason: DecisionReason.DECISION_REASON_ENABLED, message: "", planSlugs: [] };
  const { allowed, reason, message, planSlugs } = decision ?? granted;
  return { allowed, stale: fresh.stale, byRule: false, reason, message, planSlugs };
}

/** Of a tenant that does not exist there is no list: the server knows the sentence. */
function unlessAboutNobody(error: unknown): undefined {
  if (!isAboutNobody(error)) throw error;
}
