/** Whether the server answers, and how often it is asked while it does not. */

import { Metadata, status, type ServiceError } from "@grpc/grpc-js";
import type { Now } from "./cache.js";

const DEADLINE = 2_000;
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 1_000;
/** So long after a failure, nobody waits for the next question. */
const KNOWN = 5_000;

const OUTAGES = [
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.RESOURCE_EXHAUSTED,
  status.CANCELLED,
  status.UNKNOWN,
];

/** The server did not answer a moment ago. */
export const OUTAGE = Object.assign(new Error("entitlementd did not answer a moment ago"), {
  code: status.UNAVAILABLE,
  metadata: new Metadata(),
});

/** While the server does not answer, one question is under way at a time, and seldom. */
export class Outage {
  /** 0: the server answers. */
  #pause = 0;
  #failed = 0;
  #next = 0;

  get isMet(): boolean {
    return this.#pause > 0;
  }

  end(): void {
    this.#pause = 0;
  }

  /** May a question be sent, and does whoever has it wait for the answer? */
  turn({ mono }: Now): { asks: boolean; waits: boolean } {
    if (this.#pause === 0) return { asks: true, waits: true };
    if (mono < this.#next) return { asks: false, waits: false };
    this.#next = mono + DEADLINE;
    return { asks: true, waits: mono - this.#failed >= KNOWN };
  }

  /** May one be sent to find out whether a server that has said nothing for long still answers? */
  probes(now: Now): boolean {
    if (this.#pause === 0) [this.#pause, this.#failed] = [FIRST_PAUSE, now.mono];
    return this.turn(now).asks;
  }

  /** Takes in how a question has ended. A status of the server's own is an answer, whatever it says. */
  note(error: unknown, { mono }: Now): void {
    if (!isOutage(error) || hasErrorInfo(error)) return this.end();
    this.#pause = Math.min(Math.max(FIRST_PAUSE, 2 * this.#pause), LONGEST_PAUSE);
    this.#failed = mono;
    this.#next = mono + this.#pause;
  }
}

export function isOutage(error: unknown): error is ServiceError {
  return OUTAGES.includes((error as ServiceError | undefined)?.code as status);
}

/** Details come with the server's own statuses, and not with those of whoever is in between. */
function hasErrorInfo({ metadata }: ServiceError): boolean {
  return metadata.get("grpc-status-details-bin").length > 0;
}

export function isAboutNobody(error: unknown): boolean {
  return (error as ServiceError | undefined)?.code === status.NOT_FOUND;
}
