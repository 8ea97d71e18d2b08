import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { OpenFeature, ProviderStatus, StandardResolutionReasons } from "@openfeature/server-sdk";
import { DecisionReason } from "../gen/entitlement/v1/decision.js";
import { Client, type Server } from "../src/client.js";
import { dial, over } from "../src/connection.js";
import { endpoint } from "../src/endpoint.js";
import { EntitlementProvider } from "../src/openfeature.js";
import { watch } from "../src/watch.js";
import { Entitlementd } from "./entitlementd.js";

const PATIENCE = 20_000;

/** Asks until it is so: news travels by itself. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const began = performance.now(); !(await isSo()); await turn()) {
    assert(performance.now() - began < PATIENCE, "it never was so");
  }
}

/** How often the server was asked. */
function counting(server: Server): Server & { asked: number } {
  const counted: Server & { asked: number } = {
    asked: 0,
    listEnabledModules(request) {
      counted.asked++;
      return server.listEnabledModules(request);
    },
    checkModule(request) {
      counted.asked++;
      return server.checkModule(request);
    },
    checkFeature(request) {
      counted.asked++;
      return server.checkFeature(request);
    },
  };
  return counted;
}

/** A server that is not started yet, and a tenant that has finance. */
function onboarded(t: TestContext): { server: Entitlementd; tenant: string } {
  const server = new Entitlementd();
  t.after(() => server.end());
  server.run("tenant", "onboard", "acme", "--name", "Acme", "--module", "finance");
  const shown = server.run("tenant", "show", "acme");
  return { server, tenant: /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(shown)?.[0] ?? "" };
}

/** A client that listens for changes. */
function listening(t: TestContext, server: Entitlementd): { client: Client; calls: { asked: number } } {
  const connection = dial(server.address);
  const calls = counting(over(connection));
  const client = new Client(calls, { serveStale: 3_600_000 }, () => ({ wall: Date.now(), mono: performance.now() }));
  const end = new AbortController();
  const watching = watch(client, connection, end.signal);
  t.after(async () => {
    end.abort();
    await watching;
    connection.close();
  });
  return { client, calls };
}

test("a server's socket is asked where the variable names it", async (t) => {
  const { server, tenant } = onboarded(t);
  server.listenOnASocket();
  await server.start();
  server.address = endpoint({ ENTITLEMENTD_ENDPOINT: server.address });
  const { allowed, byRule } = await listening(t, server).client.check(tenant, "finance");
  assert.deepEqual({ allowed, byRule }, { allowed: true, byRule: false });
});

test("a change is heard of, and an outage is answered by the rule", async (t) => {
  const { server, tenant } = onboarded(t);
  await server.start();
  const { client, calls } = listening(t, server);
  const check = (module: string) => client.check(tenant.toUpperCase(), module);
  const isHeld = async () => {
    const before = calls.asked;
    return (await check("finance")).allowed && calls.asked === before;
  };

  await until(isHeld);
  const denied = await check("hrms");
  assert.equal(denied.reason, DecisionReason.DECISION_REASON_NOT_SUBSCRIBED);
  assert.match(denied.message, /hrms/);
  server.run("tenant", "disable", "acme", "finance");
  await until(async () => !(await check("finance")).allowed);
  server.run("tenant", "enable", "acme", "finance");
  await until(isHeld);

  await server.kill();
  await until(async () => (await check("crm_service")).byRule);
  assert((await check("finance")).allowed);
  await server.start();
  await until(async () => !(await check("crm_service")).byRule && !(await check("finance")).byRule);
  assert((await check("finance")).allowed);
  await assert.rejects(client.check("nobody", "finance"), /INVALID_ARGUMENT/);
});

test("OpenFeature hears of a change, and is STALE while the server is gone", async (t) => {
  const { server, tenant: targetingKey } = onboarded(t);
  const feature = ["finance", "multi_currency"];
  server.run("feature", "define", ...feature, "--name", "Multiple currencies", "--value-type", "int64");
  const flag = (value: string) => server.run("tenant", "set-flag", "acme", ...feature, "on", "--value", value);
  flag("3");
  await server.start();
  await OpenFeature.setProviderAndWait(new EntitlementProvider(listening(t, server).client));
  t.after(() => OpenFeature.clearProviders());
  const sdk = OpenFeature.getClient();
  const isIn = (status: ProviderStatus) => until(async () => sdk.providerStatus === status);
  const value = () => sdk.getNumberValue("finance/multi_currency", 1, { targetingKey });

  await isIn(ProviderStatus.READY);
  const details = await sdk.getNumberDetails("finance/multi_currency", 1, { targetingKey });
  assert.deepEqual([details.value, details.reason], [3, StandardResolutionReasons.TARGETING_MATCH]);
  flag("5");
  await until(async () => (await value()) === 5);
  for (const off of ["finance/teleport", "hrms/payroll"]) {
    assert.equal(await sdk.getBooleanValue(off, true, { targetingKey }), false);
  }

  await server.kill();
  await isIn(ProviderStatus.STALE);
  assert(await sdk.getBooleanValue("finance/multi_currency", false, { targetingKey }));
  assert.equal(await value(), 5, "what is held goes on");
  await server.start();
  await isIn(ProviderStatus.READY);
});
