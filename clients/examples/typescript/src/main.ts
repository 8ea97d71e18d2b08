/**
 * Answers whether tenants may use modules: node dist/src/main.js 127.0.0.1:50051. Lines on standard input have a tenant's
 * id and a module's code. Without an address the environment says where the server is: see endpoint.ts.
 */

import { createInterface } from "node:readline";
import { Client } from "./client.js";
import { dial, over } from "./connection.js";
import { endpoint } from "./endpoint.js";
import { watch } from "./watch.js";

const [address = endpoint()] = process.argv.slice(2);

const connection = dial(address);
const now = () => ({ wall: Date.now(), mono: performance.now() });
const client = new Client(over(connection), { serveStale: 3_600_000 }, now);
const end = new AbortController();
const watching = watch(client, connection, end.signal);

for await (const line of createInterface({ input: process.stdin })) {
  const [tenant, module] = line.trim().split(/\s+/);
  if (!tenant || !module) {
    console.error("a line has a tenant's id and a module's code");
    continue;
  }
  try {
    const { allowed, byRule, message } = await client.check(tenant, module);
    console.log(`allowed=${allowed} by_rule=${byRule} ${message}`);
  } catch (error) {
    console.error(String(error));
  }
}

end.abort();
await watching;
connection.close();
