import assert from "node:assert/strict";
import { test } from "node:test";
import { DecisionReason } from "../gen/entitlement/v1/decision.js";
import { EnabledModule, ListEnabledModulesResponse } from "../gen/entitlement/v1/entitlement_service.js";
import { Feature, FeatureReason, LimitEnforcement } from "../gen/entitlement/v1/feature.js";
import { decides } from "../src/cache.js";
import { said } from "../src/features.js";
import { BY_PLAN, BY_TENANT, holding, MODULE_DENIED, NOT_FOUND, off, on, World } from "./world.js";
import { read, tenantId, timestamp, type Story } from "./player.js";

type Entry = { code: string; starts_at: string | null; valid_until: string | null; features: Said[] };
type Said = { key: string; enabled: boolean; reason: string; value: unknown };
type Case = {
  name: string;
  list: { modules: Entry[]; limit_enforcement: string } | null;
  features: (Said & { module: string; at: string; module_reason: string; from_list: boolean })[];
};

function entry({ code, starts_at, valid_until, features }: Entry): EnabledModule {
  const listed = features.map(({ key, enabled, reason, value }) => {
    return Feature.fromPartial({ key, enabled, reason: reasonOf(reason), value });
  });
  const [startsAt, validUntil] = [timestamp(starts_at), timestamp(valid_until)];
  return EnabledModule.fromPartial({ code, startsAt, validUntil, features: listed });
}

function reasonOf(word: string): FeatureReason {
  return FeatureReason[`FEATURE_REASON_${word}` as keyof typeof FeatureReason];
}

function listOf({ list }: Case): ListEnabledModulesResponse {
  const { modules = [], limit_enforcement = "UNSPECIFIED" } = list ?? {};
  const word = `LIMIT_ENFORCEMENT_${limit_enforcement}` as keyof typeof LimitEnforcement;
  const limitEnforcement = LimitEnforcement[word];
  return ListEnabledModulesResponse.fromPartial({ modules: modules.map(entry), limitEnforcement });
}

test("a list says of features what the vectors say, and nothing else", () => {
  let asked = 0;
  for (const made of read<{ cases: Case[] }>("features").cases) {
    const held = { list: listOf(made) };
    for (const question of made.features) {
      asked++;
      const about = { module: question.module, feature: question.key };
      const now = { wall: Date.parse(question.at), mono: 0 };
      assert.equal(decides(held, about, now), question.from_list, `${made.name}: ${JSON.stringify(question)}`);
      if (!question.from_list) continue;
      const { enabled, reason, value, moduleReason } = said(held, about);
      const expected = [question.enabled, reasonOf(question.reason), question.value];
      assert.deepEqual([enabled, reason, value ?? null], expected, `${made.name}: ${JSON.stringify(question)}`);
      assert.equal(DecisionReason[moduleReason], `DECISION_REASON_${question.module_reason}`);
    }
  }
  assert(asked > 100, `only ${asked} questions`);
});

test("the list answers for each feature of a module that it grants", async () => {
  const player = holding("deny", on("export", BY_PLAN, "csv"), off("beta", BY_TENANT));
  const { enabled, value } = await player.feature("finance", "export");
  assert.deepEqual([enabled, value], [true, "csv"]);
  const beta = await player.feature("finance", "beta");
  assert.deepEqual([beta.enabled, beta.reason, beta.revision], [false, BY_TENANT, 9n]);
  const none = await player.feature("finance", "teleport");
  assert.deepEqual([none.enabled, none.reason], [false, NOT_FOUND]);
  assert.equal(player.server.asked.length, 1);
});

test("a feature of a denied module is asked for once for the whole module", async () => {
  const player = holding("deny");
  for (const key of ["payroll", "payroll", "leave"]) {
    const { enabled, reason, moduleReason, revision } = await player.feature("hrms", key);
    assert.deepEqual([enabled, reason, revision], [false, MODULE_DENIED, 9n]);
    assert.equal(moduleReason, DecisionReason.DECISION_REASON_NOT_SUBSCRIBED);
  }
  await player.take({ check: [1, "hrms"], is: "denied" });
  assert.equal(player.server.asked.length, 2, "the list, and CheckFeature");
});

test("without features in the list, the server is asked for each", async () => {
  const player = new World("deny", [on("export", BY_PLAN)]);
  for (let times = 0; times < 2; times++) assert((await player.feature("finance", "export")).enabled);
  assert.equal(player.server.asked.length, 3, "the list, and CheckFeature twice");
  player.client.holdFeatures();
  for (let times = 0; times < 2; times++) assert((await player.feature("finance", "export")).enabled);
  assert.equal(player.server.asked.length, 4);
});

test("in an outage the rule answers for features", async () => {
  const rules: [Story<unknown>["rule"], boolean, boolean][] = [
    ["deny", false, false],
    ["allow", true, true],
    [{ serve_stale: 3600 }, true, false],
  ];
  for (const [rule, known, unknown] of rules) {
    const player = holding(rule, on("export", BY_PLAN, "csv"));
    await player.feature("finance", "export");
    player.client.ended();
    player.server.second = 60;
    player.server.fails = "UNAVAILABLE";
    const held = await player.feature("finance", "export");
    assert.deepEqual([held.enabled, held.stale, held.byRule], [known, true, true]);
    assert.equal(held.value, typeof rule === "string" ? undefined : "csv");
    const other = await player.client.feature(tenantId(2), "finance", "export");
    assert.deepEqual([other.enabled, other.stale, other.byRule], [unknown, true, true]);
  }
});
