import { systemClock } from '../base/clock.ts';
import { safeJson } from '../base/plain-text.ts';
import { plural } from '../base/plural.ts';
import { findDestination, isUsable, probeDestination } from '../control/probe-destination.ts';
import { createSystemNames } from '../endpoints/system-names.ts';
import { linesText } from '../explain/lines.ts';
import type { ProbedDestination } from '../model/probed-destination.ts';
import { askChange, noAnswer, parsedJson, refusedBy } from './ask-admin.ts';
import type { ProbeCommand } from './commands/probe.ts';
import { EXIT_NO_INPUT, EXIT_UNAVAILABLE } from './exit-codes.ts';
import { Stopped, loadFolder, untilStopped } from './load-folder.ts';
import { probedIn } from './probe-answer.ts';
import { tokenOf } from './run-changes.ts';
import type { Terminal } from './terminal.ts';
import { shownAdmin } from './values.ts';

const EXIT_WRONG = 3;
/** Longer than an egress takes for a probe. */
const ASK_MS = 70_000;

const NO_SUCH_PAGE = 'it is older than this command, or no zone egress; probe --resources DIR dials from here';

type Folder = Extract<ProbeCommand['against'], { kind: 'folder' }>;
type Admin = Extract<ProbeCommand['against'], { kind: 'admin' }>;

/**
 * Exits with 0 where each endpoint can be used, with 3 where not, and with 64, 66, 69 or 78 where
 * that cannot be asked.
 */
export function probeCommand(command: ProbeCommand, terminal: Terminal): Promise<number> {
  return untilStopped(terminal, async () => {
    const { against, output } = command;
    const probed = against.kind === 'admin' ? await fromEgress(against, command) : await fromHere(against, command, terminal);
    terminal.out(output === 'json' ? `${safeJson(probed, 2)}\n` : textOf(probed));
    return isUsable(probed) ? 0 : EXIT_WRONG;
  });
}

async function fromHere(
  { folder, allowedResolved }: Folder,
  { target, timeoutMs, waitMs }: ProbeCommand,
  terminal: Terminal,
): Promise<ProbedDestination> {
  const { snapshot, secrets } = await loadFolder(folder, terminal);
  const found = findDestination(snapshot, target);
  if (typeof found === 'string') throw new Stopped(EXIT_NO_INPUT, `${found}; zone-egress routes lists them`);
  const clock = systemClock();
  const names = createSystemNames({ clock });
  try {
    return await probeDestination(found, {
      clock,
      secret: (hash) => secrets.get(hash),
      find: async (name, family) => (await names.find(name, family)).addresses,
      // A folder does not tell where an egress listens.
      mayDial: { ownListeners: [], localAddresses: new Set(), allowedResolved },
      timeoutMs,
      waitMs,
    });
  } finally {
    names.close();
  }
}

async function fromEgress({ at, tokenFile }: Admin, { target, timeoutMs, waitMs }: ProbeCommand): Promise<ProbedDestination> {
  const query = new URLSearchParams({ target, timeout: `${timeoutMs}ms`, wait: `${waitMs}ms` });
  const wanted = { at, target: `/probe?${query.toString()}`, token: tokenOf(tokenFile) };
  const { status, body } = await askChange(wanted, ASK_MS).catch((error: unknown) => {
    throw noAnswer(at, error);
  });
  if (status === 404) throw new Stopped(EXIT_NO_INPUT, `ask ${shownAdmin(at.url)}: ${body.trim()}; its page /routes lists them`);
  if (status === 405) throw refusedBy(at, status, `${body.trim()}: ${NO_SUCH_PAGE}`);
  if (status !== 200) throw refusedBy(at, status, body);
  const probed = probedIn(parsedJson(body));
  if (probed === null)
    throw new Stopped(EXIT_UNAVAILABLE, `ask ${shownAdmin(at.url)}: the answer is not from a zone egress of this version`);
  return probed;
}

function textOf({ destination, mesh, kind, endpoints, leftOut }: ProbedDestination): string {
  const lines = endpoints.flatMap((each) => {
    const { finding, endpoint, address, tls, validTo } = each;
    const at = address === '' || address === endpoint ? endpoint : `${endpoint} (${address})`;
    const times = [
      ['resolved in', each.resolveMs],
      ['connected in', each.connectMs],
      ['TLS in', each.tlsMs],
    ] as const;
    const took = times.flatMap(([what, ms]) => (ms < 0 ? [] : [`${what} ${ms} ms`])).join(', ');
    const state = finding === null ? 'good' : finding.kind;
    return [
      `${at}: ${state}${took === '' ? '' : `; ${took}`}`,
      ...(tls === '' ? [] : [`  ${tls}; certificate valid to ${validTo}`]),
      ...(finding === null ? [] : [`  ${finding.says}`]),
      ...(finding === null || finding.write === '' ? [] : [`  write ${finding.write}`]),
    ];
  });
  const notes = [
    ...(leftOut === 0 ? [] : [`note: ${plural(leftOut, 'further address was', 'further addresses were')} not dialled`]),
    ...(kind === 'passthrough'
      ? ['note: the TLS of clients goes through to the other zone, so only the connection is tried']
      : []),
  ];
  return linesText([
    `${destination} of mesh ${mesh}: ${plural(endpoints.length, 'address', 'addresses')}`,
    ...lines,
    ...notes,
    '',
  ]);
}
