import { X509Certificate } from 'node:crypto';
import { assumedView } from '../explain/assumed-view.ts';
import { claimedClient } from '../explain/claimed-client.ts';
import { explain } from '../explain/explain.ts';
import type { ClientFacts } from '../explain/facts.ts';
import { askedRequest } from '../explain/question.ts';
import { traceText } from '../explain/print.ts';
import { TRACE_VERSION } from '../explain/trace.ts';
import type { Trace } from '../explain/trace.ts';
import { verifyPresented } from '../identity/assumed-client.ts';
import { claimsOf } from '../identity/claims.ts';
import type { Compiled } from '../model/compiled.ts';
import type { ContentHash } from '../model/names.ts';
import { identityOf } from '../model/route.ts';
import { routeOf } from '../routing/route.ts';
import { EXIT_NO_INPUT, EXIT_UNAVAILABLE, EXIT_USAGE } from './exit-codes.ts';
import type { AdminAt } from './admin-at.ts';
import { askAdmin, noAnswer, parsedJson } from './ask-admin.ts';
import type { ExplainCommand } from './commands/explain.ts';
import { Stopped, loadFolder, untilStopped } from './load-folder.ts';
import { fileText } from './file-text.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

/** Longer than an egress dials for one question. */
const PROBE_TIMEOUT_MS = 30_000;

const EXIT_REFUSED = 3;

type Connection = Extract<ExplainCommand['about'], { kind: 'connection' }>;
type Folder = Extract<ExplainCommand['against'], { kind: 'folder' }>;
type Good = Extract<Compiled, { kind: 'compiled' }>;

/**
 * Exits with 0 where the connection passes, with 3 where it is refused, and with 64, 66, 69 or 78
 * where neither can be determined.
 */
export function explainCommand({ about, against, probe, output }: ExplainCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const trace =
      against.kind === 'admin' ? await askedOfAdmin(against.at, { about, probe }) : await askedOfFolder(against, about, terminal);
    terminal.out(output === 'json' ? `${JSON.stringify(trace, null, 2)}\n` : traceText(trace));
    return trace.outcome === 'allowed' ? 0 : EXIT_REFUSED;
  });
}

async function askedOfFolder(folder: Folder, about: ExplainCommand['about'], terminal: Terminal): Promise<Trace> {
  if (about.kind === 'record') throw new Stopped(EXIT_USAGE, 'a folder remembers no sessions');
  const config = await loadFolder(folder, terminal);
  const { snapshot, origins, absent = new Map() } = config;
  const request = askedRequest(about);
  if (typeof request === 'string') throw new Stopped(EXIT_USAGE, request);
  const facts = {
    ...(request === null ? {} : { request }),
    serverName: about.sni,
    alpn: [],
    tlsVersion: '',
    clientAddress: '',
    record: null,
    client: clientOf(about, config),
  };
  const trace = explain(snapshot, facts, assumedView, { origins, absent });
  return { ...trace, notes: [...trace.notes, 'no running egress was asked: names count as resolvable, endpoints as healthy'] };
}

function clientOf({ sni, from, cert }: Connection, config: Good): ClientFacts {
  if (cert === null) return from.length === 0 ? { kind: 'none' } : claimedClient(config.snapshot, sni, claimed(from));
  const pem = fileText(cert);
  const found = routeOf(config.snapshot, sni);
  // Without a route, and where TLS passes through, the certificate is not checked.
  if (found.kind !== 'terminate') return { kind: 'none' };
  const { trust, trustDomains } = config.snapshot.meshes.get(identityOf(found)) ?? {};
  const textOf = (name: ContentHash | undefined): string | null =>
    name === undefined ? null : (config.secrets.get(name) ?? null);
  const domains = trustDomains?.map(({ name, trust: bundle }) => ({ name, trust: textOf(bundle) ?? '' }));
  const presented = {
    pem,
    trust: textOf(trust),
    nowMs: Date.now(),
    ...(domains === undefined ? {} : { trustDomains: domains }),
  };
  const verified = verifyPresented(found.mesh, presented);
  if (typeof verified === 'string') throw new Stopped(EXIT_NO_INPUT, `read ${cert}: ${verified}`);
  if (verified.kind === 'verified') return { kind: 'claims', claims: verified.client };
  return { kind: 'rejected', refusal: verified.refusal, certificate: verified.certificate };
}

function claimed(from: readonly string[]) {
  const claims = claimsOf(from);
  if (typeof claims === 'string') throw new Stopped(EXIT_USAGE, `--from ${from.join(',')}: ${claims}`);
  return claims;
}

async function askedOfAdmin(at: AdminAt, { about, probe }: Pick<ExplainCommand, 'about' | 'probe'>): Promise<Trace> {
  const query = new URLSearchParams();
  if (about.kind === 'record') query.set('id', about.id);
  else {
    query.set('sni', about.sni);
    if (about.method !== undefined) query.set('method', about.method);
    if (about.path !== undefined) query.set('path', about.path);
    for (const line of about.headers ?? []) query.append('header', line);
    for (const uri of about.cert === null ? about.from : urisIn(about.cert)) query.append('from', uri);
  }
  if (probe) query.set('probe', 'true');
  const url = shownAdmin(at.url);
  const timeoutMs = probe ? PROBE_TIMEOUT_MS : undefined;
  const answer = await askAdmin(at, `/explain?${query.toString()}`, { timeoutMs }).catch((error: unknown) => {
    throw noAnswer(at, error);
  });
  if (answer.status === 400) throw new Stopped(EXIT_USAGE, answer.body.trim());
  if (answer.status === 404 && about.kind === 'record' && answer.body.startsWith('session '))
    throw new Stopped(EXIT_NO_INPUT, `ask ${url}: ${answer.body.trim()}`);
  if (answer.status !== 200) throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: ${answer.status}: ${answer.body.trim()}`);
  return traceIn(answer.body, url);
}

/** Throws for a text that is no trace, or has a version that this egress does not know. */
function traceIn(body: string, url: string): Trace {
  const value = parsedJson(body);
  if (typeof value === 'object' && value !== null && 'version' in value && value.version === TRACE_VERSION) return value as Trace;
  throw new Stopped(EXIT_UNAVAILABLE, `ask ${url}: the answer is not from a zone egress of this version`);
}

/** Returns the URI names of the leaf; the egress does not verify them for an explanation. */
function urisIn(file: string): readonly string[] {
  const pem = fileText(file);
  let names: string;
  try {
    names = new X509Certificate(pem).subjectAltName ?? '';
  } catch {
    throw new Stopped(EXIT_NO_INPUT, `read ${file}: there is no PEM certificate in it`);
  }
  const uris = names.split(', ').flatMap((name) => (name.startsWith('URI:') ? [name.slice('URI:'.length)] : []));
  if (uris.length === 0) throw new Stopped(EXIT_NO_INPUT, `read ${file}: the certificate has no URI names`);
  return uris;
}
