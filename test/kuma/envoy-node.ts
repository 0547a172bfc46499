/**
 * One object of Envoy's configuration, as proto3 JSON. A reader takes its fields one by one; `done`
 * reports those not taken, so that no part of a configuration is silently left out.
 */
export class EnvoyNode {
  readonly path: string;
  readonly #fields: ReadonlyMap<string, unknown>;
  readonly #taken = new Set<string>(['@type']);
  readonly #unread: string[];

  constructor(value: unknown, path: string, unread: string[]) {
    this.path = path;
    this.#unread = unread;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (!isObject) unread.push(`${path}: ${JSON.stringify(value)}`);
    this.#fields = new Map(isObject ? Object.entries(value) : []);
  }

  /** `envoy.config.cluster.v3.Cluster`. */
  get type(): string {
    const type = this.#fields.get('@type');
    return typeof type === 'string' ? type.replace('type.googleapis.com/', '') : '';
  }

  has(name: string): boolean {
    return this.#fields.has(name);
  }

  /** Marks fields that are known and have no meaning here. */
  skip(...names: readonly string[]): void {
    for (const name of names) this.#taken.add(name);
  }

  text(name: string): string | undefined {
    const value = this.#take(name);
    if (value === undefined || typeof value === 'string') return value;
    this.#misread(name, value);
    return undefined;
  }

  /** A 64-bit number is a text in proto3 JSON. */
  number(name: string): number | undefined {
    const value = this.#take(name);
    if (value === undefined) return undefined;
    const number = typeof value === 'string' || typeof value === 'number' ? Number(value) : NaN;
    if (Number.isNaN(number)) this.#misread(name, value);
    return number;
  }

  flag(name: string): boolean {
    const value = this.#take(name) ?? false;
    if (typeof value !== 'boolean') this.#misread(name, value);
    return value === true;
  }

  milliseconds(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const seconds = /^(\d+(?:\.\d+)?)s$/.exec(text)?.[1];
    if (seconds === undefined) this.#misread(name, text);
    return Math.round(Number(seconds) * 1000);
  }

  texts(name: string): readonly string[] {
    return this.#list(name).map(String);
  }

  object(name: string): EnvoyNode | undefined {
    const value = this.#take(name);
    return value === undefined ? undefined : new EnvoyNode(value, `${this.path}.${name}`, this.#unread);
  }

  objects(name: string): readonly EnvoyNode[] {
    return this.#list(name).map((value, i) => new EnvoyNode(value, `${this.path}.${name}[${i}]`, this.#unread));
  }

  /** A map with arbitrary keys. */
  entries(): readonly (readonly [string, unknown])[] {
    for (const key of this.#fields.keys()) this.#taken.add(key);
    return [...this.#fields];
  }

  record(name: string): Readonly<Record<string, string>> {
    const entries = this.object(name)?.entries() ?? [];
    return Object.fromEntries(entries.map(([key, value]) => [key, String(value)]));
  }

  report(what: string): void {
    this.#unread.push(`${this.path}: ${what}`);
  }

  done(): void {
    for (const name of this.#fields.keys()) if (!this.#taken.has(name)) this.#misread(name, this.#fields.get(name));
  }

  #list(name: string): readonly unknown[] {
    const value = this.#take(name) ?? [];
    if (Array.isArray(value)) return value;
    this.#misread(name, value);
    return [];
  }

  #take(name: string): unknown {
    this.#taken.add(name);
    return this.#fields.get(name);
  }

  #misread(name: string, value: unknown): void {
    this.#unread.push(`${this.path}.${name}: ${JSON.stringify(value)}`);
  }
}
