import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { DecisionReason } from "../gen/entitlement/v1/decision.js";
import { Client, type Server } from "../src/client.js";
import { dial, over } from "../src/connection.js";
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

test("a change is heard of, and an outage is answered by the rule", async (t) => {
  const server = new Entitlementd();
  t.after(() => server.end());
  server.run("tenant", "onboard", "acme", "--name", "Acme", "--module", "finance");
  const tenant = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(server.run("tenant", "show", "acme"))?.[0] ?? "";
  await server.start();

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
