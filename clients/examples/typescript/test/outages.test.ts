import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Player, read, tenantId, type Step, type Story } from "./player.js";
import type { Right } from "./server.js";

/** Something happens at the server, and the client hears of it at once, unless it is away. */
type Made = {
  allow?: [tenant: number, module: string];
  for?: number;
  suspend?: number;
  advance?: number;
  go_dark?: true;
  come_back?: true;
  check?: Step["check"];
  at_least?: number;
  is?: string;
  asks?: boolean;
  /** Whose request it is, is another question: this client does not ask it. */
  resolve?: object;
  token?: object;
};

class Double extends Player {
  constructor(rule: Story<unknown>["rule"]) {
    super(rule);
    this.connect();
  }

  async make(made: Made): Promise<void> {
    const asked = this.server.asked.length;
    if (made.allow) this.#allow(made.allow, made.for);
    else if (made.suspend) this.#change(made.suspend, () => ({}));
    else if (made.advance) this.#advance(made.advance);
    else if (made.go_dark) this.#goDark();
    else if (made.come_back) this.#comeBack();
    else if (made.check) await this.take({ check: made.check, at_least: made.at_least, is: made.is });
    else assert(made.resolve ?? made.token, "an unknown step");
    if (made.check && made.asks !== undefined) assert.equal(this.server.asked.length > asked, made.asks);
  }

  #allow([tenant, module]: [number, string], span?: number): void {
    const right = span === undefined ? {} : { valid_until: this.server.second + span };
    this.#change(tenant, (modules) => ({ ...modules, [module]: right }));
  }

  #change(tenant: number, change: (modules: Record<string, Right>) => Record<string, Right>): void {
    const before = this.server.tenants.get(tenantId(tenant));
    const revision = (before?.revision ?? 0) + 1;
    this.server.tenants.set(tenantId(tenant), { tenant, revision, modules: change(before?.modules ?? {}) });
    this.tell({ tenant_changed: { tenant, revision } });
  }

  #advance(seconds: number): void {
    this.server.second += seconds;
    if (this.server.fails === null) this.tell({ heartbeat: { lag: 0 } });
  }

  #goDark(): void {
    this.server.fails = "UNAVAILABLE";
    this.client.ended();
  }

  #comeBack(): void {
    this.server.fails = null;
    this.connect();
  }
}

test("outages go as the vectors say", async (t) => {
  let checks = 0;
  for (const { name, rule, steps } of read<{ cases: Story<Made>[] }>("outages").cases) {
    await t.test(name, async () => {
      const double = new Double(rule);
      for (const step of steps) {
        checks += step.check ? 1 : 0;
        await double.make(step).catch((error) => assert.fail(`${JSON.stringify(step)}: ${error}`));
      }
    });
  }
  assert(checks > 20, `only ${checks} questions`);
});

/** Tenant 1 has finance, and another module until this second. The list is held. */
async function holding(rule: Story<unknown>["rule"], until: number): Promise<Player> {
  const player = new Double(rule);
  await player.take({ server: { tenant: 1, revision: 1, modules: { finance: {}, hrms: { valid_until: until } } } });
  await player.take({ check: [1, "finance"], is: "granted" });
  return player;
}

async function often(player: Player, is: string): Promise<void> {
  for (let times = 0; times < 10; times++) await player.take({ check: [1, "finance"], is });
}

test("however many ask, the server is asked once", async () => {
  const player = await holding("deny", 3600);
  player.tell({ reset: {} });
  const answers = await Promise.all(Array.from({ length: 100 }, () => player.client.check(tenantId(1), "finance")));
  assert(answers.every(({ allowed }) => allowed));
  assert.equal(player.server.asked.length, 2);
});

test("who holds an answer does not wait for a frozen server", async () => {
  const player = await holding({ serve_stale: 3600 }, 3600);
  player.server.second = 31;
  player.server.fails = "DEADLINE_EXCEEDED";
  player.server.holdsNext = true;
  await often(player, "granted by the rule");
  assert.equal(player.server.asked.length, 2);
});

test("in an outage one question at a time finds out whether it is over", async () => {
  const player = await holding("deny", 3600);
  player.client.ended();
  player.server.second = 30;
  player.server.fails = "UNAVAILABLE";
  await often(player, "denied by the rule");
  assert.equal(player.server.asked.length, 2);

  player.server.second = 31;
  player.server.fails = null;
  player.server.holdsNext = true;
  await often(player, "denied by the rule");
  assert.equal(player.server.asked.length, 3);
  player.server.letGo[0]?.();
  await turn();
  await often(player, "granted");
  assert.equal(player.server.asked.length, 3);
});

test("who asks long after the last failure waits for the server", async () => {
  const player = await holding("deny", 3600);
  player.client.ended();
  player.server.second = 30;
  player.server.fails = "UNAVAILABLE";
  await often(player, "denied by the rule");
  player.server.second = 35;
  player.server.fails = null;
  await often(player, "granted");
});

test("while the stream is alive, a failure is no outage for long", async () => {
  const player = await holding({ serve_stale: 3600 }, 20);
  player.server.fails = "UNAVAILABLE";
  await player.take({ check: [2, "finance"], is: "denied by the rule" });
  player.server.second = 20;
  player.server.fails = null;
  // What is held has come to its end, though the rule would serve it.
  await often(player, "granted");
  assert.equal(player.server.asked.length, 3);
});
