import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { endpoint } from "../src/endpoint.js";

const folder = mkdtempSync(join(tmpdir(), "entitlementd-"));
const socket = join(folder, "edge.sock");
const server = createServer();

before(async () => {
  server.listen(socket);
  await once(server, "listening");
});

after(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

const named = (text: string | undefined) => endpoint({ ENTITLEMENTD_ENDPOINT: text }, socket);

test("the variable goes before the socket, and an empty one counts as none", () => {
  for (const text of ["core:50051", "unix:/e.sock", "unix:///e.sock"]) assert.equal(named(` ${text} `), text);
  for (const text of [undefined, "", "  "]) assert.equal(named(text), `unix:${socket}`);
});

test("a variable that cannot be used is named", () => {
  for (const text of [",", "core:1,core:2", "https://core:1"]) {
    assert.throws(() => named(text), /^Error: ENTITLEMENTD_ENDPOINT cannot be used: /);
  }
});

test("neither is an error that names both", () => {
  const file = join(folder, "no.sock");
  const complaint = new RegExp(`ENTITLEMENTD_ENDPOINT is not set, and there is no socket ${file}: set the variable`);
  assert.throws(() => endpoint({}, file), complaint);
  writeFileSync(file, "");
  assert.throws(() => endpoint({}, file), complaint);
  assert.throws(() => endpoint({}, join(file, "edge.sock")), /is not set, and .*edge.sock/);
});
