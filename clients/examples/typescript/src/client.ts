/** Asks the server where nothing is held, and answers by a rule where the server cannot be asked. */

import { DecisionReason, Freshness } from "../gen/entitlement/v1/decision.js";
import type {
  CheckFeatureRequest,
  CheckFeatureResponse,
  CheckModuleRequest,
  CheckModuleResponse,
  ListEnabledModulesRequest,
  ListEnabledModulesResponse,
  WatchChangesResponse,
} from "../gen/entitlement/v1/entitlement_service.js";
import { Cache, decides, isGood, TRUST, type About, type Held, type Now, type Question } from "./cache.js";
import { featureOf, ruled, taken, type Feature } from "./features.js";
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
  checkFeature(request: CheckFeatureRequest): Promise<CheckFeatureResponse>;
}

/** What decides a question. `byRule`: in an outage, and where nothing is held, the rule does. */
type Decided = { held?: Held; byRule: boolean };

/** Without a module, the list is asked for. */
type Asked = Pick<About, "id"> & Partial<About>;

export class Client {
  readonly #cache = new Cache();
  readonly #outage = new Outage();
  /** When the stream last told anything. */
  #heard = -Infinity;
  #holdsFeatures = false;
  /** Are called whenever the stream tells anything or ends. */
  readonly listeners = new Set<() => void>();

  constructor(readonly server: Server, readonly rule: Rule, readonly now: () => Now) {}

  /**
   * Has features held as well. It is not so from the start, since who asks about modules alone need not pay for them.
   * Until then each question about a feature is sent to the server.
   */
  holdFeatures(): void {
    if (this.#holdsFeatures) return;
    this.#holdsFeatures = true;
    this.#cache.outdate(); // It has none.
  }

  /** Takes in what the stream of changes tells. */
  hear(event: WatchChangesResponse): void {
    const now = this.now();
    this.#heard = now.mono;
    this.#cache.hear(event, now);
    if (event.event?.$case === "opened") this.#outage.end();
    this.#tell();
  }

  /** The stream is over. */
  ended(): void {
    this.#cache.end();
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.listeners) listener();
  }

  /** For how long it is sure that changes are received, even if the server says nothing more. 0: they are not. */
  sureFor(): number {
    const now = this.now();
    const { stream } = this.#cache;
    return stream.isTrusted(now) ? stream.beat + TRUST - now.mono : 0;
  }

  /**
   * Answers from what is held, else by the server, else by the rule. `least`: the revision that the answer has at
   * least, for who reads their own write. Throws what the server refuses the question with.
   */
  async check(tenant: string, module: string, least = 0n): Promise<Answer> {
    const { held, byRule } = await this.#decide({ id: tenant.toLowerCase(), module }, least);
    if (held === undefined) return this.#byRule();
    return byRule ? { ...answer(held), stale: true, byRule: true } : answer(held);
  }

  /** Answers likewise whether a feature is on. A list that grants the module says so of each. */
  async feature(tenant: string, module: string, key: string, least = 0n): Promise<Feature> {
    const about = { id: tenant.toLowerCase(), module, feature: key };
    const { held, byRule } = await this.#decide(about, least);
    return held ? featureOf(held, about, byRule) : ruled(this.rule === "allow");
  }

  async #decide(about: About, least: bigint): Promise<Decided> {
    const known = this.#look(about, least);
    if (known) return known;
    try {
      const list = await this.#ask({ id: about.id }, least).catch(unlessAboutNobody);
      if (list && decides(list, about, this.now())) return { held: list, byRule: false };
      return { held: await this.#ask(about, least), byRule: false };
    } catch (error) {
      if (!isOutage(error)) throw error;
      return { held: this.#stale(about, least), byRule: true };
    }
  }

  #look(about: About, least: bigint): Decided | undefined {
    const now = this.now();
    const found = this.#cache.find(about, least, now);
    if (found) return { held: found, byRule: false };
    const { stream } = this.#cache;
    const isSilent = stream.isOpen && now.mono - this.#heard > TRUST;
    if (!isSilent && (!this.#outage.isMet || stream.isTrusted(now))) return undefined;
    // An outage is known: nobody waits who holds an answer, and whether it is over is found out beside.
    const { id } = about;
    const stale = this.#stale(about, least);
    if (stale && this.#outage.probes(now)) this.#call({ id }, this.#cache.begin(id, least, now)).catch(() => {});
    return stale && { held: stale, byRule: true };
  }

  #stale(about: About, least: bigint): Held | undefined {
    if (typeof this.rule === "string") return undefined;
    return this.#cache.stale(about, least, this.rule.serveStale, this.now());
  }

  #byRule(): Answer {
    const allowed = this.rule === "allow";
    const reason = DecisionReason.DECISION_REASON_UNSPECIFIED;
    return { allowed, stale: true, byRule: true, reason, message: allowed ? "" : SENTENCE, planSlugs: [] };
  }

  /** What the server answers, to all who have the same question while no news comes. */
  async #ask(about: Asked, least: bigint): Promise<Held> {
    const now = this.now();
    const question = this.#cache.begin(about.id, least, now);
    const { list, flights } = question.tenant;
    if (about.module === undefined && list && isGood(list, question.least, now)) return list;
    const key = JSON.stringify([question.stream.number, String(question.least), about.module, about.feature]);
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

  async #call(about: Asked, question: Question): Promise<Held> {
    try {
      const held = await this.#send(about, question);
      this.#outage.note(undefined, this.now());
      this.#cache.keep(about.module ?? "", held);
      return held;
    } catch (error) {
      // Where a stream has opened since, the server is back already.
      const isBack = this.#cache.stream.isOpen && this.#cache.stream !== question.stream;
      if (!isBack) this.#outage.note(error, this.now());
      throw error;
    }
  }

  async #send({ id, module, feature }: Asked, question: Question): Promise<Held> {
    const request = { tenantId: id, minRevision: question.least, at: undefined };
    if (module === undefined) {
      const whole = { ...request, includeUpcoming: true, includeFeatures: this.#holdsFeatures };
      const list = await this.server.listEnabledModules(whole);
      return { ...question, list, fresh: list.freshness ?? Freshness.create() };
    }
    if (feature !== undefined) {
      return taken(question, await this.server.checkFeature({ ...request, moduleCode: module, featureKey: feature }));
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
