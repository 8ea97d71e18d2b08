import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import {
  ErrorCode,
  OpenFeature,
  ProviderEvents,
  ProviderStatus,
  StandardResolutionReasons,
  type EvaluationContext,
  type EvaluationDetails,
  type JsonValue,
} from "@openfeature/server-sdk";
import type { FeatureReason } from "../gen/entitlement/v1/feature.js";
import { EntitlementProvider } from "../src/openfeature.js";
import { Player, tenantId, type Story } from "./player.js";
import { BY_DEFAULT, BY_PLAN, BY_TENANT, off, on, World } from "./world.js";

const { DEFAULT, ERROR, STALE, TARGETING_MATCH, UNKNOWN } = StandardResolutionReasons;
const PATIENCE = 20_000;
const HOUR = { serve_stale: 3_600 };
const TENANT = { targetingKey: tenantId(1) };
const NEWER = 99 as FeatureReason;

afterEach(async () => {
  OpenFeature.clearHandlers();
  await OpenFeature.clearProviders();
});

/** Has the SDK ask the player's client. It does not wait for long. */
function provide(player: Player): Promise<void> {
  return OpenFeature.setProviderAndWait(new EntitlementProvider(player.client, 1));
}

/** Tenant 1 has features of every kind. */
async function provided(rule: Story<unknown>["rule"] = "deny", isOlder = false): Promise<World> {
  const object = { formats: ["csv"] };
  const features = [
    ...[on("plain", BY_TENANT), off("off", BY_PLAN), on("text", BY_PLAN, "csv"), on("whole", BY_DEFAULT, 7)],
    ...[on("part", BY_TENANT, 1.5), on("flag", BY_TENANT, true), on("object", BY_TENANT, object)],
    ...[on("list", BY_TENANT, ["csv", "pdf"]), on("a/b", BY_TENANT), on("newer", NEWER)],
  ];
  const world = new World(rule, features, isOlder);
  await provide(world);
  return world;
}

type Value = boolean | string | number | JsonValue;

function evaluate(flag: string, fallback: Value, about: EvaluationContext = TENANT): Promise<EvaluationDetails<Value>> {
  const sdk = OpenFeature.getClient();
  if (typeof fallback === "boolean") return sdk.getBooleanDetails(flag, fallback, about);
  if (typeof fallback === "string") return sdk.getStringDetails(flag, fallback, about);
  if (typeof fallback === "number") return sdk.getNumberDetails(flag, fallback, about);
  return sdk.getObjectDetails(flag, fallback, about);
}

async function seen(flag: string, fallback: Value, about: EvaluationContext = TENANT): Promise<unknown[]> {
  const { value, reason, errorCode } = await evaluate(flag, fallback, about);
  return errorCode === undefined ? [value, reason] : [value, reason, errorCode];
}

test("a boolean is whether it is on, and never the code's default", async () => {
  await provided();
  const expected: [flag: string, value: boolean, reason: string][] = [
    ["finance/plain", true, TARGETING_MATCH],
    ["finance/off", false, TARGETING_MATCH],
    ["finance/whole", true, DEFAULT],
    ["finance/a/b", true, TARGETING_MATCH],
    ["finance/none", false, DEFAULT],
    ["finance/newer", true, UNKNOWN],
    ["hrms/payroll", false, DEFAULT],
  ];
  for (const [flag, value, reason] of expected) {
    for (const fallback of [true, false]) assert.deepEqual(await seen(flag, fallback), [value, reason], flag);
  }
});

test("another type is the value, or the code's default where it has none", async () => {
  await provided();
  const expected: [flag: string, fallback: Value, value: Value, reason: string][] = [
    ["finance/text", "pdf", "csv", TARGETING_MATCH],
    ["finance/whole", 3, 7, DEFAULT],
    ["finance/part", 0.5, 1.5, TARGETING_MATCH],
    ["finance/object", {}, { formats: ["csv"] }, TARGETING_MATCH],
    ["finance/list", [], ["csv", "pdf"], TARGETING_MATCH],
    ["finance/off", "pdf", "pdf", DEFAULT],
    ["finance/plain", "pdf", "pdf", DEFAULT],
    ["finance/none", "pdf", "pdf", DEFAULT],
    ["hrms/payroll", { a: 1 }, { a: 1 }, DEFAULT],
  ];
  for (const [flag, fallback, ...said] of expected) assert.deepEqual(await seen(flag, fallback), said, flag);
});

test("a value of another type is an error", async () => {
  await provided();
  const wrong: [flag: string, fallback: Value][] = [
    ["finance/whole", "pdf"],
    ["finance/text", 3],
    ["finance/flag", 3],
    ["finance/flag", {}],
    ["finance/text", {}],
  ];
  for (const [flag, fallback] of wrong) {
    assert.deepEqual(await seen(flag, fallback), [fallback, ERROR, ErrorCode.TYPE_MISMATCH], flag);
  }
});

test("whoever changes an object that they were given changes nobody else's", async () => {
  await provided();
  const { value } = await evaluate("finance/list", []);
  (value as string[]).pop();
  assert.deepEqual(await seen("finance/list", []), [["csv", "pdf"], TARGETING_MATCH]);
});

test("what names no tenant or no feature is an error", async () => {
  const world = await provided();
  const of = (targetingKey: string) => ({ targetingKey });
  const wrong: [flag: string, about: EvaluationContext, code: ErrorCode][] = [
    ["finance/plain", {}, ErrorCode.TARGETING_KEY_MISSING],
    ["finance/plain", of(""), ErrorCode.TARGETING_KEY_MISSING],
    ["finance/plain", of("acme"), ErrorCode.INVALID_CONTEXT],
    ["finance/plain", of(tenantId(1).replaceAll("-", "")), ErrorCode.INVALID_CONTEXT],
    ["finance/plain", of(`{${tenantId(1).slice(2)}}`), ErrorCode.INVALID_CONTEXT],
    ["finance", TENANT, ErrorCode.FLAG_NOT_FOUND],
    ["/plain", TENANT, ErrorCode.FLAG_NOT_FOUND],
    ["finance/", TENANT, ErrorCode.FLAG_NOT_FOUND],
  ];
  for (const [flag, about, code] of wrong) {
    for (const fallback of [true, "pdf"]) assert.deepEqual(await seen(flag, fallback, about), [fallback, ERROR, code]);
  }
  assert.equal(world.server.asked.length, 0);
});

test("the flag's metadata say why", async () => {
  await provided();
  const expected: [flag: string, reason: string, module: string][] = [
    ["finance/off", "PLAN", "ENABLED"],
    ["finance/newer", "UNSPECIFIED", "ENABLED"],
    ["hrms/payroll", "MODULE_DENIED", "NOT_SUBSCRIBED"],
  ];
  for (const [flag, reason, module] of expected) {
    const { flagMetadata } = await evaluate(flag, true);
    const said = { "entitlement.reason": reason, "module.reason": module, revision: 9, stale: false };
    assert.deepEqual(flagMetadata, said);
  }
});

test("a server that is older than features is an error", async () => {
  await provided("allow", true);
  assert.deepEqual(await seen("finance/plain", false), [false, ERROR, ErrorCode.GENERAL]);
});

test("in an outage answers are stale, by the rule", async () => {
  const world = await provided(HOUR);
  await seen("finance/plain", false);
  world.client.ended();
  world.server.second = 31;
  world.server.fails = "UNAVAILABLE";
  assert.deepEqual(await seen("finance/plain", false), [true, STALE]);
  assert.deepEqual(await seen("finance/plain", "pdf"), ["pdf", STALE]);
  assert.deepEqual(await seen("finance/plain", true, { targetingKey: tenantId(2) }), [false, STALE]);
});

function status(): ProviderStatus {
  return OpenFeature.getClient().providerStatus;
}

/** Asks until it is so: the SDK hears of events by itself. */
async function untilIs(expected: ProviderStatus): Promise<void> {
  for (const began = performance.now(); status() !== expected; await turn()) {
    assert(performance.now() - began < PATIENCE, `it is ${status()}`);
  }
}

/** The events of the provider, in order. */
function listened(): string[] {
  const heard: string[] = [];
  for (const event of [ProviderEvents.Ready, ProviderEvents.Stale, ProviderEvents.Error]) {
    OpenFeature.addHandler(event, () => heard.push(event));
  }
  return heard;
}

test("it is STALE while changes are not received, and READY again", async () => {
  const heard = listened();
  const world = await provided();
  await untilIs(ProviderStatus.READY);
  await turn();
  world.client.ended();
  await untilIs(ProviderStatus.STALE);
  world.connect();
  await untilIs(ProviderStatus.READY);
  assert.deepEqual(heard, [ProviderEvents.Ready, ProviderEvents.Stale, ProviderEvents.Ready]);
});

test("a server that lags makes it STALE", async () => {
  const world = await provided();
  world.tell({ heartbeat: { lag: 10 } });
  await untilIs(ProviderStatus.STALE);
  world.tell({ heartbeat: { lag: 0 } });
  await untilIs(ProviderStatus.READY);
});

test("silence makes it STALE, though nothing tells it", async () => {
  const world = await provided();
  await turn();
  world.server.second = 29.999;
  // Has it look how long it has to wait: not for long any more.
  world.tell({ tenant_changed: { tenant: 1, revision: 9 } });
  world.server.second = 30;
  assert.equal(status(), ProviderStatus.READY);
  await untilIs(ProviderStatus.STALE);
});

test("without a server it is STALE until there is one", async () => {
  const player = new Player("deny");
  player.server.fails = "UNAVAILABLE";
  await provide(player);
  await untilIs(ProviderStatus.STALE);
  // It answers by the rule: a flag is off, whatever the code would have.
  assert.deepEqual(await seen("finance/plain", true), [false, STALE]);
  player.connect();
  await untilIs(ProviderStatus.READY);
});

test("it waits for changes before it is READY", async () => {
  const heard = listened();
  const player = new Player("deny");
  const setting = OpenFeature.setProviderAndWait(new EntitlementProvider(player.client, PATIENCE));
  await turn();
  assert.equal(status(), ProviderStatus.NOT_READY);
  player.connect();
  await setting;
  await turn();
  assert.deepEqual([status(), heard], [ProviderStatus.READY, [ProviderEvents.Ready]]);
});

test("closed, it leaves the client to the application", async () => {
  const world = await provided();
  await turn();
  assert.equal(world.client.listeners.size, 1);
  await OpenFeature.clearProviders();
  assert.equal(world.client.listeners.size, 0);
  assert((await world.feature("finance", "plain")).enabled);
});

test("closed before it is ready, it tells nothing", async () => {
  const player = new Player("deny");
  const setting = provide(player);
  await OpenFeature.clearProviders();
  await setting;
  await turn();
  assert.equal(player.client.listeners.size, 0);
});
