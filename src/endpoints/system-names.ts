/**
 * Resolves names as the operating system does: the hosts file, then DNS with search list and ndots
 * from resolv.conf. It uses c-ares and not getaddrinfo, which blocks a thread of the pool for each
 * name whose server is silent, while files and keys need these threads too. Where the system has
 * other sources, getaddrinfo is asked last.
 */
import { platform } from 'node:os';
import { Resolver as DnsClient, lookup as getaddrinfo } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { isIP, isIPv4 } from 'node:net';
import { hostname } from 'node:os';
import type { Clock } from '../base/clock.ts';
import { errorCode } from '../base/error-code.ts';
import type { Family } from './dns-answers.ts';

export interface ResolvedAddresses {
  readonly addresses: readonly string[];
  /** How long the addresses may be kept, in seconds; null where no record says so. */
  readonly ttl: number | null;
}

export interface SystemNames {
  /** Rejects with an error whose `code` is one of Node's own. */
  find(name: string, family: Family): Promise<ResolvedAddresses>;
  close(): void;
}

export interface SystemNamesOptions {
  readonly clock: Clock;
  /** Paths of the files; absent means the usual ones. */
  readonly hosts?: string;
  readonly resolvConf?: string;
  readonly nsswitch?: string;
  /** Makes a DNS client; the default uses the servers of resolv.conf. */
  readonly newClient?: () => DnsClient;
  readonly lastWord?: (name: string, family: Family) => Promise<readonly string[]>;
}

/** The files are read again after this time, at the next look-up. */
const READ_AGAIN_MS = 5_000;
/** After this silence of a server it is asked once more, or the next one is. */
const TIMEOUT_MS = 2_000;
/**
 * The most concurrent look-ups by getaddrinfo: libuv gives them half of its threads. Only names
 * that neither the hosts file nor DNS has get there.
 */
const MAX_LAST_WORDS = 2;
/**
 * Sources of nsswitch.conf without names of services: those of this machine, its containers and the
 * link.
 */
const PLAIN_SOURCES: ReadonlySet<string> = new Set(['files', 'dns', 'myhostname', 'mymachines', 'mdns4_minimal', 'mdns_minimal']);
const MAX_NDOTS = 15;

interface SystemFiles {
  readonly hosts: ReadonlyMap<string, readonly string[]>;
  readonly search: readonly string[];
  readonly ndots: number;
  /** True when there are only the hosts file and DNS. */
  readonly isPlain: boolean;
}

export function createSystemNames(options: SystemNamesOptions): SystemNames {
  return new Names(options);
}

class Names implements SystemNames {
  readonly #options: SystemNamesOptions;
  #client: DnsClient;
  #files: Promise<SystemFiles> | null = null;
  #readAt = -Infinity;
  /** Its content at the last read. */
  #resolvConf: string | null = null;
  #lastWords = 0;
  #closed = false;

  constructor(options: SystemNamesOptions) {
    this.#options = options;
    this.#client = this.#newClient();
  }

  async find(name: string, family: Family): Promise<ResolvedAddresses> {
    const files = await this.#system();
    if (this.#closed) throw failure('ECANCELLED');
    const inHosts = files.hosts.get(withoutDot(name).toLowerCase()) ?? [];
    const addresses = ofFamily(inHosts, family);
    if (addresses.length > 0) return { addresses, ttl: null };
    try {
      return await this.#inDns(candidates(name, files), family);
    } catch (error) {
      // Only addresses of the other family: better than none.
      if (inHosts.length > 0) return { addresses: inHosts, ttl: null };
      if (files.isPlain || this.#closed || this.#lastWords >= MAX_LAST_WORDS) throw error;
      const last = await this.#lastWord(name, family).catch(() => null);
      if (last === null) throw error;
      return last;
    }
  }

  close(): void {
    this.#closed = true;
    this.#client.cancel();
  }

  /**
   * Returns the first of these that exists. As in glibc, a server that fails does not end the
   * search, a silent one does.
   */
  async #inDns(names: readonly string[], family: Family): Promise<ResolvedAddresses> {
    let worst = failure('ENOTFOUND');
    for (const name of names) {
      const answer = await this.#ask(name, family);
      if (!(answer instanceof Error)) return answer;
      if (answer.code !== 'ENOTFOUND' && worst.code !== 'ESERVFAIL') worst = answer;
      if (!GOES_ON.has(answer.code)) throw answer;
    }
    throw worst;
  }

  async #ask(name: string, family: Family): Promise<ResolvedAddresses | Failure> {
    const client = this.#client;
    const asked = [client.resolve4(name, { ttl: true }), ...(family === 'any' ? [client.resolve6(name, { ttl: true })] : [])];
    const answers = await Promise.allSettled(asked);
    const records = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (records.length > 0) return foundIn(records);
    const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [codeOf(answer.reason)] : []));
    // The name exists without an IPv4 address: an IPv6 address is better than none.
    if (family === 'v4' && failures[0] === 'ENODATA') {
      const six = await client.resolve6(name, { ttl: true }).catch(() => []);
      if (six.length > 0) return foundIn(six);
    }
    // One family shows that the name exists, and the other has no answer: whether it has an address
    // is not known.
    return failure(
      failures.find((code) => !GOES_ON.has(code)) ?? failures.find((code) => code !== 'ENOTFOUND') ?? failures[0] ?? 'ENODATA',
    );
  }

  async #lastWord(name: string, family: Family): Promise<ResolvedAddresses> {
    this.#lastWords++;
    try {
      return { addresses: await (this.#options.lastWord ?? bySystem)(name, family), ttl: null };
    } finally {
      this.#lastWords--;
    }
  }

  #system(): Promise<SystemFiles> {
    const now = this.#options.clock.now();
    if (this.#files === null || now - this.#readAt >= READ_AGAIN_MS) {
      this.#readAt = now;
      this.#files = this.#read();
    }
    return this.#files;
  }

  async #read(): Promise<SystemFiles> {
    const { hosts = '/etc/hosts', resolvConf = '/etc/resolv.conf', nsswitch = '/etc/nsswitch.conf' } = this.#options;
    const [hostsText, resolvText, nsswitchText] = await Promise.all([hosts, resolvConf, nsswitch].map(textOf));
    if (this.#resolvConf !== null && this.#resolvConf !== resolvText && !this.#closed) this.#client = this.#newClient();
    this.#resolvConf = resolvText ?? '';
    return {
      hosts: readHosts(hostsText ?? ''),
      ...readResolvConf(resolvText ?? ''),
      isPlain: platform() === 'linux' && isPlain(nsswitchText ?? ''),
    };
  }

  /** A client reads the servers when it is made. */
  #newClient(): DnsClient {
    return this.#options.newClient?.() ?? new DnsClient({ timeout: TIMEOUT_MS, tries: 2 });
  }
}

function foundIn(records: readonly { readonly address: string; readonly ttl: number }[]): ResolvedAddresses {
  return { addresses: records.map(({ address }) => address), ttl: Math.min(...records.map(({ ttl }) => ttl)) };
}

/** Returns the names to ask DNS for, in order. */
function candidates(name: string, { search, ndots }: Pick<SystemFiles, 'search' | 'ndots'>): readonly string[] {
  if (name.endsWith('.')) return [name];
  const searched = search.map((domain) => (domain === '.' ? name : `${name}.${domain}`));
  return name.split('.').length - 1 >= ndots ? [name, ...searched] : [...searched, name];
}

/** Returns the addresses of each name, in the order of the file. */
function readHosts(text: string): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const [address = '', ...names] = wordsOf(line);
    if (isIP(address) === 0) continue;
    for (const name of names) {
      const key = withoutDot(name).toLowerCase();
      const known = found.get(key);
      if (known === undefined) found.set(key, [address]);
      else known.push(address);
    }
  }
  return found;
}

function readResolvConf(text: string): Pick<SystemFiles, 'search' | 'ndots'> {
  const own = hostname();
  let search: readonly string[] = own.includes('.') ? [own.slice(own.indexOf('.') + 1)] : [];
  let ndots = 1;
  for (const line of text.split('\n')) {
    const [keyword, ...values] = wordsOf(line);
    if (keyword === 'search') search = values;
    else if (keyword === 'domain') search = values.slice(0, 1);
    else if (keyword === 'options')
      for (const value of values) {
        const [, given] = /^ndots:(\d+)$/.exec(value) ?? [];
        if (given !== undefined) ndots = Math.min(Number(given), MAX_NDOTS);
      }
  }
  return { search: search.map((domain) => (domain === '.' ? domain : withoutDot(domain))), ndots };
}

/** Without the file, or without its line for hosts, there are the hosts file and DNS. */
function isPlain(nsswitch: string): boolean {
  const line = nsswitch
    .split('\n')
    .map(wordsOf)
    .find(([keyword]) => keyword === 'hosts:');
  return line === undefined || line.slice(1).every((source) => source.startsWith('[') || PLAIN_SOURCES.has(source));
}

function wordsOf(line: string): readonly string[] {
  return line
    .replace(/[#;].*/, '')
    .trim()
    .split(/\s+/);
}

function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

function ofFamily(addresses: readonly string[], family: Family): readonly string[] {
  return family === 'any' ? addresses : addresses.filter((ip) => isIPv4(ip));
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}

async function bySystem(name: string, family: Family): Promise<readonly string[]> {
  const found = await getaddrinfo(name, { all: true, order: 'verbatim', family: family === 'v4' ? 4 : 0 });
  return found.map(({ address }) => address);
}

/** After these errors the next name of the search list is tried. */
const GOES_ON: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'ESERVFAIL']);

type Failure = Error & { readonly code: string };

function failure(code: string): Failure {
  return Object.assign(new Error(code), { code });
}

function codeOf(error: unknown): string {
  return errorCode(error) || 'ESERVFAIL';
}
