import assert from "node:assert/strict";
import { test } from "node:test";
import { Player, read, type Step, type Story } from "./player.js";

const stories = read<{ cases: Story<Step>[] }>("streams").cases;
// This client asks for neither.
const ours = stories.filter(({ announce_end, heartbeat_interval }) => !announce_end && !heartbeat_interval);

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
