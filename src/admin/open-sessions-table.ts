import { columns } from '../base/columns.ts';
import { printable } from '../routing/route.ts';
import { shortAmount, shortDuration } from '../base/short-text.ts';
import type { ShownSession } from '../model/shown-session.ts';

const HEAD = ['ID', 'STATE', 'CLIENT', 'MESH', 'DESTINATION', 'ENDPOINT', 'AGE', 'IDLE', 'UP', 'DOWN', 'UP/S', 'DOWN/S'];

/** Writes columns, one session a line. */
export function openSessionsTable(sessions: readonly ShownSession[]): string {
  return columns([HEAD, ...sessions.map(cells)]);
}

function cells(session: ShownSession): readonly string[] {
  const { id, state, spiffeIds, clientAddress, mesh, destination, sni, endpoint, wouldRefuse } = session;
  return [
    id,
    state,
    spiffeIds[0] === undefined ? clientAddress : printable(spiffeIds[0]),
    mesh || '-',
    destination || printable(sni) || '-',
    endpoint || '-',
    shortDuration(session.ageMs),
    shortDuration(session.idleMs),
    shortAmount(session.bytesUp),
    shortAmount(session.bytesDown),
    shortAmount(session.rateUp),
    shortAmount(session.rateDown),
    ...(wouldRefuse === undefined ? [] : [`would be refused: ${printable(wouldRefuse)}`]),
  ];
}
