/** Where the server is when the code does not say. */

import { statSync } from "node:fs";

const VARIABLE = "ENTITLEMENTD_ENDPOINT";
/** Where an instance on the same machine listens, or in the same pod. */
const SOCKET = "/run/entitlementd/edge.sock";

/**
 * What the variable ENTITLEMENTD_ENDPOINT names, host:port or unix:/path; where that is not set, or empty, the socket
 * /run/entitlementd/edge.sock, if it is there. An edge may start after the service: set the variable to
 * unix:/run/entitlementd/edge.sock where it may.
 */
export function endpoint(environment: NodeJS.ProcessEnv = process.env, socket = SOCKET): string {
  const named = environment[VARIABLE]?.trim();
  if (named) {
    if (named.includes(",") || (named.includes("://") && !named.startsWith("unix:"))) {
      throw new Error(`${VARIABLE} cannot be used: expected one host:port or unix:/path, and found "${named}"`);
    }
    return named;
  }
  const problem = whatIsWrongWith(socket);
  if (problem === undefined) return `unix:${socket}`;
  throw new Error(
    `nothing says where entitlementd is: ${VARIABLE} is not set, and ${problem}: set the variable to host:port or ` +
      "unix:/path, run an edge that listens there, or name the endpoint in the code",
  );
}

function whatIsWrongWith(socket: string): string | undefined {
  try {
    if (statSync(socket, { throwIfNoEntry: false })?.isSocket()) return undefined;
  } catch (error) {
    return `${socket} cannot be looked at: ${String(error)}`;
  }
  return `there is no socket ${socket}`;
}
