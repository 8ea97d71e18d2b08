/** Plays a case of the vectors to a client, step by step. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import type { WatchChangesResponse } from "../gen/entitlement/v1/entitlement_service.js";
import type { Timestamp } from "../gen/google/protobuf/timestamp.js";
import { Client, type Rule } from "../src/client.js";
import { ScriptedServer, type Facts } from "./server.js";

type Pair = [tenant: number, module: string];
type Told = {
  heartbeat?: { lag: number };
  tenant_changed?: { tenant: number; revision: number };
  catalogue_changed?: { revision: number };
} & { [other in "opened" | "reset" | "unknown"]?: object };

export type Step = {
  server?: Facts;
  fails?: ScriptedServer["fails"];
  advance?: number;
  tells?: Told;
  ends?: boolean;
  check?: Pair;
  at_least?: number;
  begin?: Pair;
  as?: string;
  end?: string;
  is?: string;
  stale?: boolean;
  asks?: boolean;
  min_revision?: number;
};

export type Story<Step> = {
  name: string;
  rule: "deny" | "allow" | { serve_stale: number };
  announce_end?: boolean;
  heartbeat_interval?: number;
  steps: Step[];
};

export function read<Vectors>(file: string): Vectors {
  // From dist/test, where it runs.
  return JSON.parse(readFileSync(new URL(`../../../../../tests/vectors/${file}.json`, import.meta.url), "utf8"));
}

export function timestamp(text: string | null, nanos = 0): Timestamp | undefined {
  return text === null ? undefined : { seconds: BigInt(Date.parse(text) / 1000), nanos };
}

export class Player {
  readonly server = new ScriptedServer();
  readonly client: Client;
  readonly #begun = new Map<string, { said: Promise<string>; letGo?: () => void }>();

  constructor(rule: Story<unknown>["rule"]) {
    const ours: Rule = typeof rule === "string" ? rule : { serveStale: rule.serve_stale * 1000 };
    this.client = new Client(this.server, ours, this.server.now);
  }

  async take(step: Step): Promise<void> {
    const asked = this.server.asked.length;
    if (step.server) this.server.tenants.set(tenantId(step.server.tenant), step.server);
    else if (step.fails !== undefined) this.server.fails = step.fails;
    else if (step.advance) this.server.second += step.advance;
    else if (step.tells) this.tell(step.tells);
    else if (step.ends) this.client.ended();
    else if (step.check) assert.equal(await this.#check(step.check, step.at_least), said(step));
    else if (step.begin && step.as) await this.#begin(step.begin, step.as, step.asks === true);
    else if (step.end) await this.#end(step.end, said(step));
    else assert.fail("an unknown step");
    if (step.asks === undefined) return;
    const least = new Set(this.server.asked.slice(asked));
    assert.deepEqual(least, new Set(step.asks ? [BigInt(step.min_revision ?? 0)] : []), "what it asked for");
  }

  tell(told: Told): void {
    this.client.hear({ event: event(told) });
  }

  connect(): void {
    this.tell({ opened: {} });
    this.tell({ heartbeat: { lag: 0 } });
  }

  /** Returns once the server has the question, where it is to be asked. */
  async #begin(about: Pair, name: string, asks: boolean): Promise<void> {
    this.server.holdsNext = asks;
    const said = this.#check(about);
    await turn();
    assert.equal(this.server.holdsNext, false, "it asks nothing");
    this.#begun.set(name, { said, letGo: asks ? this.server.letGo.at(-1) : undefined });
  }

  async #end(name: string, said: string): Promise<void> {
    const begun = this.#begun.get(name);
    begun?.letGo?.();
    assert.equal(await begun?.said, said);
  }

  async #check([tenant, module]: Pair, least = 0): Promise<string> {
    const answer = await this.client.check(tenantId(tenant), module, BigInt(least)).catch(() => undefined);
    // Whatever was asked in the background has been.
    await turn();
    if (answer === undefined) return "refused";
    const word = answer.allowed ? "granted" : "denied";
    return answer.byRule ? `${word} by the rule` : answer.stale ? `${word}, stale` : word;
  }
}

function said({ is, stale }: Step): string {
  return stale ? `${is}, stale` : `${is}`;
}

function event(told: Told): WatchChangesResponse["event"] {
  if (told.opened) return { $case: "opened", value: { asOf: undefined, heartbeatInterval: undefined } };
  if (told.reset) return { $case: "reset", value: {} };
  if (told.unknown) return undefined;
  if (told.heartbeat) {
    return { $case: "heartbeat", value: { lag: { seconds: BigInt(told.heartbeat.lag), nanos: 0 }, unproven: false } };
  }
  if (told.tenant_changed) {
    const { tenant, revision } = told.tenant_changed;
    return { $case: "tenantChanged", value: { tenantId: tenantId(tenant), revision: BigInt(revision) } };
  }
  assert(told.catalogue_changed, "an unknown event");
  return { $case: "catalogueChanged", value: { revision: BigInt(told.catalogue_changed.revision) } };
}

export function tenantId(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}
