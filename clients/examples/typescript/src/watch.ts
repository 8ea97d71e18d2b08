/** Listens for changes, over one stream that is opened again whenever it ends. */

import { setTimeout as pause } from "node:timers/promises";
import type { EntitlementServiceClient } from "../gen/entitlement/v1/entitlement_service.js";
import type { Client } from "./client.js";

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5_000;
/** Heartbeats come every 10 s. */
const LONGEST_SILENCE = 45_000;

/** Until the signal is given. */
export async function watch(client: Client, server: EntitlementServiceClient, signal: AbortSignal): Promise<void> {
  let next = FIRST_PAUSE;
  while (!signal.aborted) {
    if (await listen(client, server, signal)) next = FIRST_PAUSE;
    client.ended();
    await pause(next * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => {});
    next = Math.min(2 * next, LONGEST_PAUSE);
  }
}

/** Hears one stream out. Resolves to whether it has told anything. */
function listen(client: Client, server: EntitlementServiceClient, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const stream = server.watchChanges({ tenantIds: [], announceEnd: false, heartbeatInterval: undefined });
    const cancel = () => stream.cancel();
    const silence = setTimeout(cancel, LONGEST_SILENCE);
    let hasTold = false;
    const end = () => {
      clearTimeout(silence);
      signal.removeEventListener("abort", cancel);
      resolve(hasTold);
    };
    signal.addEventListener("abort", cancel);
    stream.on("data", (event) => {
      silence.refresh();
      hasTold = true;
      client.hear(event);
    });
    stream.on("error", end);
    stream.on("end", end);
  });
}
