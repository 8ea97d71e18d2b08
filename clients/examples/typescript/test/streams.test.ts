import assert from "node:assert/strict";
import { test } from "node:test";
import { Player, read, type Step, type Story } from "./player.js";

const stories = read<{ cases: Story<Step>[] }>("streams").cases;
// This client does not ask for it.
const ours = stories.filter(({ announce_end }) => !announce_end);

test("streams go as the vectors say", async (t) => {
  assert(ours.length > 50);
  for (const { name, rule, steps } of ours) {
    await t.test(name, async () => {
      const player = new Player(rule);
      for (const step of steps) {
        await player.take(step).catch((error) => assert.fail(`${JSON.stringify(step)}: ${error}`));
      }
    });
  }
});
