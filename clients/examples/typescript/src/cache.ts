/** What is held of tenants and what news does to it, by the rules of clients/README.md. Time is an argument. */

import { LRUCache } from "lru-cache";
import type { Freshness } from "../gen/entitlement/v1/decision.js";
import type {
  CheckModuleResponse,
  EnabledModule,
  ListEnabledModulesResponse,
  WatchChangesResponse,
} from "../gen/entitlement/v1/entitlement_service.js";
import { LimitEnforcement, type FeatureDecision } from "../gen/entitlement/v1/feature.js";
import type { Duration } from "../gen/google/protobuf/duration.js";
import type { Timestamp } from "../gen/google/protobuf/timestamp.js";

const MOST_TENANTS = 10_000;
const MOST_DENIALS = 100; // of each tenant
/** A stream is relied on for so long after a heartbeat, and expected to say something within it. */
export const TRUST = 30_000;
const LONGEST_LAG = 10_000;
/** For so long another server may lag, unmarked. */
const SETTLING = 4_000;

/** Milliseconds: instants are compared with `wall`, spans are measured with `mono`. */
export type Now = { wall: number; mono: number };

/** The time between two resets. All that was asked for in it is outdated with it, however much it is. */
type Era = { isOutdated: boolean };

/** One WatchChanges stream in one era, or the lack of one. */
class Stream {
  static #count = 0;
  readonly number = Stream.#count++;
  /** The last heartbeat, if the server did not lag. */
  beat = -Infinity;
  /** The last with which it did not. */
  vouched = -Infinity;
  /** Until then another server may lag, unmarked. */
  settled = -Infinity;

  constructor(readonly era: Era, public isOpen: boolean) {}

  isTrusted(now: Now): boolean {
    return this.isOpen && now.mono - this.beat < TRUST;
  }
}

/** May the tenant use the module, or is a feature in it on? */
export type About = { id: string; module: string; feature?: string };

/** What was known when the server was asked. */
export type Question = {
  tenant: Tenant;
  stream: Stream;
  asked: number;
  least: bigint;
  /** Another server may answer, which lags: the answer is good for its `maxAge` only. */
  isSettling: boolean;
};

/** An answer of the server: a list, or the decision about a module or a feature. */
export type Held = Question & {
  list?: ListEnabledModulesResponse;
  decision?: CheckModuleResponse;
  /** Of a module that is granted. It is not kept. */
  feature?: FeatureDecision;
  fresh: Freshness;
};

/** What is held between two pieces of news. News puts another one in its place. */
export class Tenant {
  list?: Held;
  denials = new Map<string, Held>();
  /** The latest revision that was announced, in this history of the database. */
  announced = 0n;
  history = 0;
  /** Questions under way. */
  flights = new Map<string, Promise<Held>>();
}

export class Cache {
  stream = new Stream({ isOutdated: false }, false);
  #history = 0;
  /** Its latest revision that was announced in this history. */
  #catalogue = 0n;
  #tenants = new LRUCache<string, Tenant>({ max: MOST_TENANTS });

  hear({ event }: WatchChangesResponse, now: Now): void {
    switch (event?.$case) {
      case "opened":
        this.#goOn(new Stream(this.stream.era, true));
        this.#settle(now);
        this.#beginHistory();
        break;
      case "heartbeat":
        this.stream.beat = milliseconds(event.value.lag) < LONGEST_LAG ? now.mono : -Infinity;
        this.stream.vouched = Math.max(this.stream.vouched, this.stream.beat);
        break;
      case "tenantChanged":
        this.#change(event.value.tenantId, event.value.revision);
        if (event.value.revision === 0n) this.#settle(now);
        break;
      case "catalogueChanged":
        this.outdate();
        this.#catalogue = max(this.#catalogue, event.value.revision);
        if (event.value.revision === 0n) this.#settle(now);
        break;
      default: // a reset, or what only a newer client knows
        this.outdate();
        this.#settle(now);
        this.#beginHistory();
    }
  }

  #settle(now: Now): void {
    this.stream.settled = now.mono + SETTLING;
  }

  /** The database may be another one, and revisions begin anew. */
  #beginHistory(): void {
    this.#history++;
    this.#catalogue = 0n;
  }

  /** The stream is over. */
  end(): void {
    this.#goOn(new Stream(this.stream.era, false));
  }

  #goOn(next: Stream): void {
    this.stream.isOpen = false;
    this.stream = next;
  }

  /** All that is held is outdated, at once. */
  outdate(): void {
    const { era, isOpen, beat, vouched, settled } = this.stream;
    era.isOutdated = true;
    this.#goOn(Object.assign(new Stream({ isOutdated: false }, isOpen), { beat, vouched, settled }));
  }

  #change(id: string, revision: bigint): void {
    const before = this.tenant(id);
    const after = new Tenant();
    after.announced = max(revision, this.#announced(before));
    after.history = this.#history;
    if (before.list && has(before.list, revision)) after.list = before.list;
    else if (before.list && revision === 0n) after.list = outdated(before.list);
    after.denials = new Map([...before.denials].filter(([, denial]) => has(denial, revision)));
    this.#tenants.set(id, after);
  }

  tenant(id: string): Tenant {
    const tenant = this.#tenants.get(id) ?? new Tenant();
    if (!this.#tenants.has(id)) this.#tenants.set(id, tenant);
    return tenant;
  }

  /** What was announced in another history, this one may never reach. */
  #announced(tenant: Tenant): bigint {
    return tenant.history === this.#history ? tenant.announced : 0n;
  }

  /** What decides the question: the list, or the denial of a module. Undefined: the server must be asked. */
  find(about: About, least: bigint, now: Now): Held | undefined {
    const { list, denials } = this.tenant(about.id);
    const denial = denials.get(about.module);
    if (list && isGood(list, least, now) && decides(list, about, now)) return list;
    return denial && isGood(denial, least, now) ? denial : undefined;
  }

  /** Comes before the server is asked, and `keep` after it has answered. */
  begin(id: string, least: bigint, now: Now): Question {
    const tenant = this.tenant(id);
    const { stream } = this;
    const isSettling = now.mono < stream.settled;
    return { tenant, stream, asked: now.mono, least: max(least, this.#announced(tenant)), isSettling };
  }

  /** Where news has overtaken the answer, it is kept of a tenant whom nobody looks at any more. */
  keep(module: string, held: Held): void {
    const { tenant, stream, list, decision, fresh } = held;
    if (stream.era.isOutdated || !this.#isCurrent(fresh.catalogueRevision)) return;
    if (list) tenant.list = held;
    if (decision && !decision.allowed) {
      if (tenant.denials.size >= MOST_DENIALS) tenant.denials.clear();
      tenant.denials.set(module, held);
    }
  }

  /** Another server may have answered, which has not received the last change of the catalogue. 0: it does not say. */
  #isCurrent(catalogue: bigint): boolean {
    return catalogue === 0n || catalogue >= this.#catalogue;
  }

  /** The list that decides the question in an outage, if the server vouched for it no longer ago than `most`. */
  stale(about: About, least: bigint, most: number, now: Now): Held | undefined {
    const { list } = this.tenant(about.id);
    if (!list || list.fresh.revision < least || !decides(list, about, now)) return undefined;
    const vouched = list.isSettling ? -Infinity : list.stream.vouched;
    return now.mono - Math.max(list.asked, vouched) <= most ? list : undefined;
  }
}

export function isGood({ list, fresh, stream, asked, isSettling }: Held, least: bigint, now: Now): boolean {
  if (fresh.revision < least || !isBefore(now, fresh.validUntil)) return false;
  const isWatched = list !== undefined && !fresh.stale && !isSettling && stream.isTrusted(now);
  return isWatched || (!stream.era.isOutdated && now.mono - asked < milliseconds(fresh.maxAge));
}

/** An answer can be faster than the news of its revision. 0 is one that the server could not read. */
function has({ fresh }: Held, revision: bigint): boolean {
  return 0n < revision && revision <= fresh.revision;
}

/** Nobody knows whether it was replaced: it is of use in an outage only. */
function outdated(list: Held): Held {
  const ended = Object.assign(new Stream({ isOutdated: true }, false), { vouched: list.stream.vouched });
  return { ...list, stream: ended };
}

/** A list grants what has started and not ended. It never denies a module. */
export function grants({ list }: Pick<Held, "list">, module: string, now: Now): boolean {
  const entry = entryOf(list, module);
  return entry !== undefined && hasCome(now, entry.startsAt) && isBefore(now, entry.validUntil);
}

export function entryOf(list: ListEnabledModulesResponse | undefined, module: string): EnabledModule | undefined {
  return list?.modules.find(({ code }) => code === module);
}

/** A list that grants the module says of each feature in it whether it is on, if it says anything of features. */
export function decides({ list }: Pick<Held, "list">, { module, feature }: Omit<About, "id">, now: Now): boolean {
  const hasFeatures = list?.limitEnforcement !== LimitEnforcement.LIMIT_ENFORCEMENT_UNSPECIFIED;
  return grants({ list }, module, now) && (feature === undefined || hasFeatures);
}

// The clock shows whole milliseconds, the server does not: nothing is granted in the one that is begun.
function isBefore(now: Now, end?: Timestamp): boolean {
  return end === undefined || now.wall < Math.floor(milliseconds(end));
}

function hasCome(now: Now, start?: Timestamp): boolean {
  return start === undefined || Math.ceil(milliseconds(start)) <= now.wall;
}

function milliseconds(of?: Timestamp | Duration): number {
  return of ? Number(of.seconds) * 1000 + of.nanos / 1e6 : 0;
}

function max(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}
