/** The connection to the server. */

import { credentials, Metadata, type CallOptions, type ServiceError } from "@grpc/grpc-js";
import { EntitlementServiceClient } from "../gen/entitlement/v1/entitlement_service.js";
import type { Server } from "./client.js";

const DEADLINE = 2_000;

/** A question that meets no server is asked again, within its deadline. */
const RETRIES = JSON.stringify({
  methodConfig: [
    {
      name: [{ service: "entitlement.v1.EntitlementService" }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: "0.05s",
        maxBackoff: "0.4s",
        backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    },
  ],
});

export function dial(address: string): EntitlementServiceClient {
  return new EntitlementServiceClient(address, credentials.createInsecure(), {
    "grpc.service_config": RETRIES,
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1_000,
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 5_000,
  });
}

export function over(connection: EntitlementServiceClient): Server {
  return {
    listEnabledModules: (request) =>
      promised((end) => connection.listEnabledModules(request, new Metadata(), ending(), end)),
    checkModule: (request) => promised((end) => connection.checkModule(request, new Metadata(), ending(), end)),
    checkFeature: (request) => promised((end) => connection.checkFeature(request, new Metadata(), ending(), end)),
  };
}

function ending(): CallOptions {
  return { deadline: Date.now() + DEADLINE };
}

type Ended<Response> = (error: ServiceError | null, response: Response) => void;

function promised<Response>(call: (end: Ended<Response>) => unknown): Promise<Response> {
  return new Promise((resolve, reject) => call((error, response) => (error ? reject(error) : resolve(response))));
}
