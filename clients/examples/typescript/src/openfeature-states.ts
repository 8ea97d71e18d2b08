/** A provider's states: READY while changes are received, STALE while they are not. */

import { ProviderEvents, type OpenFeatureEventEmitter } from "@openfeature/server-sdk";
import type { Client } from "./client.js";

const NOT_RECEIVED = "changes are not received from entitlementd: what is answered may be stale";

export class States {
  #told: ProviderEvents = ProviderEvents.Ready;
  #silence?: NodeJS.Timeout;
  #isOver = false;

  constructor(
    readonly client: Client,
    readonly events: OpenFeatureEventEmitter,
    readonly patience: number,
  ) {}

  /**
   * Waits until changes are received, but not for long: where they are not, the provider is STALE, and the outage rule
   * answers.
   */
  async begin(): Promise<void> {
    this.#isOver = false;
    await this.#changes();
    // OpenFeature says READY once this has ended, whatever it was told before.
    setImmediate(() => this.#follow());
  }

  end(): void {
    this.#isOver = true;
    this.client.listeners.delete(this.#look);
    clearTimeout(this.#silence);
  }

  #changes(): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.client.sureFor() > 0) end();
      };
      const end = () => {
        clearTimeout(late);
        this.client.listeners.delete(look);
        resolve();
      };
      const late = setTimeout(end, this.patience);
      this.client.listeners.add(look);
      look();
    });
  }

  #follow(): void {
    if (this.#isOver) return;
    this.#told = ProviderEvents.Ready;
    this.client.listeners.add(this.#look);
    this.#look();
  }

  readonly #look = (): void => {
    const sure = this.client.sureFor();
    clearTimeout(this.#silence);
    // Of a stream that says nothing more nobody tells that it is over.
    if (sure > 0) this.#silence = setTimeout(this.#look, sure).unref();
    this.#tell(sure > 0 ? ProviderEvents.Ready : ProviderEvents.Stale);
  };

  #tell(event: ProviderEvents): void {
    if (event === this.#told) return;
    this.#told = event;
    const message = event === ProviderEvents.Ready ? "changes are received" : NOT_RECEIVED;
    this.events.emit(event, { message });
  }
}
