import assert from "node:assert/strict";
import { test } from "node:test";
import { EnabledModule, ListEnabledModulesResponse } from "../gen/entitlement/v1/entitlement_service.js";
import { grants } from "../src/cache.js";
import { read, timestamp } from "./player.js";

type Case = {
  name: string;
  list: { modules: { code: string; starts_at: string | null; valid_until: string | null }[] } | null;
  questions: { module: string; at: string; from_list: boolean }[];
};

test("a list grants when the vectors say so, and never else", () => {
  let asked = 0;
  for (const file of ["named", "generated"]) {
    for (const { name, list: listed, questions } of read<{ cases: Case[] }>(file).cases) {
      const modules = (listed?.modules ?? []).map(({ code, starts_at, valid_until }) =>
        EnabledModule.fromPartial({ code, startsAt: timestamp(starts_at), validUntil: timestamp(valid_until) }),
      );
      const list = ListEnabledModulesResponse.fromPartial({ modules });
      for (const { module, at, from_list } of questions) {
        asked++;
        const now = { wall: Date.parse(at), mono: 0 };
        assert.equal(grants({ list }, module, now), from_list, `${name}: ${module} at ${at}`);
      }
    }
  }
  assert(asked > 500, `only ${asked} questions`);
});

test("a millisecond in which a right starts or ends is granted by nobody", () => {
  const [start, end] = ["2026-06-01T00:00:00Z", "2026-06-01T00:00:01Z"];
  const right = { code: "finance", startsAt: timestamp(start, 500), validUntil: timestamp(end, 500) };
  const list = ListEnabledModulesResponse.fromPartial({ modules: [right] });
  const grantedAfter = (wait: number) => grants({ list }, "finance", { wall: Date.parse(start) + wait, mono: 0 });
  assert.deepEqual([0, 1, 999, 1000].map(grantedAfter), [false, true, true, false]);
});
