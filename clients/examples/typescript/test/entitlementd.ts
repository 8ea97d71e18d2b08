/** The real server, on a database of its own. */

import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const BUILT = fileURLToPath(new URL("../../../../../target/debug/entitlementd", import.meta.url));

export class Entitlementd {
  address = "127.0.0.1:0";
  readonly #program = process.env["ENTITLEMENTD_BIN"] || BUILT;
  readonly #folder = mkdtempSync(join(tmpdir(), "entitlementd-"));
  readonly #database = ["--database-url", `sqlite:${join(this.#folder, "erp.db")}?mode=rwc`];
  #process?: ChildProcess;

  constructor() {
    this.run("migrate");
  }

  listenOnASocket(): void {
    this.address = `unix:${join(this.#folder, "edge.sock")}`;
  }

  /** Runs a command of the program on the database. Gives what it prints. */
  run(...words: string[]): string {
    const arguments_ = [...words, ...this.#database];
    return execFileSync(this.#program, arguments_, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Resolves once the server is ready. It has the address that it had before. */
  async start(): Promise<void> {
    const flags = ["--listen", this.address, "--log-format", "json", "--poll-interval", "20ms"];
    const arguments_ = ["serve", ...flags, ...this.#database];
    this.#process = spawn(this.#program, arguments_, { stdio: ["ignore", "ignore", "pipe"] });
    assert(this.#process.stderr);
    for await (const line of createInterface({ input: this.#process.stderr })) {
      this.address = /"address":"([^"]+)"/.exec(line)?.[1] ?? this.address;
      if (line.includes('"ready"')) return;
    }
    assert.fail("it ended before it was ready");
  }

  async kill(): Promise<void> {
    if (this.#process?.exitCode !== null || !this.#process.kill("SIGKILL")) return;
    await once(this.#process, "exit");
  }

  async end(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }
}
