/** A batch is sent when this many items wait, or in the next turn of the loop. */
const BATCH = 256;

/** Collects items for the control side and sends them in batches. */
export class Outbox<Item> {
  readonly #send: (items: readonly Item[]) => void;
  #items: Item[] = [];

  constructor(send: (items: readonly Item[]) => void) {
    this.#send = send;
  }

  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length === 1) setImmediate(() => this.flush());
    else if (this.#items.length >= BATCH) this.flush();
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#items.length === 0) return;
    const items = this.#items;
    this.#items = [];
    this.#send(items);
  }
}
