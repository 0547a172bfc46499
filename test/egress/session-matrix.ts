/**
 * The session matrix: a client gets a session in one state of the zone and offers it in another.
 * States are all combinations of mesh, generation of trust, certificate, permission, worker and
 * protocol; each pair has one right outcome.
 */
import { createPrivateKey } from 'node:crypto';
import { issueEgressIdentity } from '../../src/identity/issue.ts';
import type { CertificateAndKey } from '../../src/identity/issue.ts';
import type { MeshCredentials } from '../../src/model/credentials.ts';
import { hashOf } from '../../src/model/hash-of.ts';
import { meshName } from '../../src/model/names.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../../src/testing/egress/test-mesh.ts';
import { withServerName } from './session-bytes.ts';
import { startTwoSides } from './two-sides.ts';
import type { Met, TwoSides } from './two-sides.ts';

const HOUR_MS = 3_600_000;
/** Sessions are offered so much later: certificates that are `short` have expired by then. */
const LATER_MS = 2 * HOUR_MS;

const MESHES = ['default', 'other'] as const;
const GENERATIONS = [1, 2] as const;
const CERTIFICATES = ['lasting', 'short'] as const;
const PERMISSIONS = ['allowed', 'denied'] as const;
const WORKERS = [0, 1] as const;
const PROTOCOLS = ['TLSv1.2', 'TLSv1.3'] as const;

export interface State {
  readonly mesh: (typeof MESHES)[number];
  readonly generation: (typeof GENERATIONS)[number];
  readonly certificate: (typeof CERTIFICATES)[number];
  readonly permission: (typeof PERMISSIONS)[number];
  readonly worker: (typeof WORKERS)[number];
  readonly protocol: (typeof PROTOCOLS)[number];
}

export interface Outcome {
  readonly resumed: boolean;
  readonly reason: string;
}

export interface Pair {
  readonly issued: State;
  readonly offered: State;
  /** True where the trust went to another generation and came back in between. */
  readonly roundTrip: boolean;
}

export const STATES: readonly State[] = MESHES.flatMap((mesh) =>
  GENERATIONS.flatMap((generation) =>
    CERTIFICATES.flatMap((certificate) =>
      PERMISSIONS.flatMap((permission) =>
        WORKERS.flatMap((worker) =>
          PROTOCOLS.map((protocol) => ({ mesh, generation, certificate, permission, worker, protocol })),
        ),
      ),
    ),
  ),
);

/** Every pair; those within the first generation also with a rotation away and back in between. */
export const PAIRS: readonly Pair[] = STATES.flatMap((issued) =>
  STATES.flatMap((offered) => {
    const pair = { issued, offered, roundTrip: false };
    return issued.generation === 1 && offered.generation === 1 ? [pair, { ...pair, roundTrip: true }] : [pair];
  }),
);

/** Returns in how many facts two states differ. */
export function distance({ issued, offered }: Pair): number {
  return (Object.keys(issued) as (keyof State)[]).filter((fact) => issued[fact] !== offered[fact]).length;
}

/** A session is resumed where a full handshake with its certificate would have passed. */
export function rightOutcome({ issued, offered, roundTrip }: Pair): Outcome {
  const resumed =
    !roundTrip &&
    issued.mesh === offered.mesh &&
    issued.generation === offered.generation &&
    issued.certificate === 'lasting' &&
    issued.protocol === offered.protocol;
  if (!resumed && offered.certificate === 'short') return { resumed, reason: 'client-not-trusted' };
  return { resumed, reason: offered.permission === 'allowed' ? 'closed' : 'denied' };
}

export interface Result {
  readonly pair: Pair;
  readonly outcome: Outcome;
  /** False where server and client do not agree on whether the session was resumed. */
  readonly agreed: boolean;
}

/** Plays the pairs on one zone, in an order that its rotations allow. */
export async function playMatrix(pairs: readonly Pair[]): Promise<readonly Result[]> {
  const trust = await createTrust();
  await using sides = await startTwoSides((port) => resources(port, trust, 'allowed'));
  const sessions = new Map<State, Buffer>();
  const results: Result[] = [];
  const needed = new Set(pairs.map(({ issued }) => issued));

  async function issue(generation: number): Promise<void> {
    sides.setWall(0);
    for (const permission of PERMISSIONS) {
      await sides.configure((port) => resources(port, trust, permission));
      for (const state of needed) {
        if (state.generation !== generation || state.permission !== permission) continue;
        const { session, record } = await visit(sides, state, trust);
        const wanted = permission === 'allowed' ? 'closed' : 'denied';
        if (session === null || record.reason !== wanted) throw new Error(`no session: ${JSON.stringify({ state, record })}`);
        sessions.set(state, session);
      }
    }
  }
  async function offer(fits: (pair: Pair) => boolean): Promise<void> {
    sides.setWall(LATER_MS);
    const fitting = pairs.filter(fits);
    for (const permission of PERMISSIONS) {
      await sides.configure((port) => resources(port, trust, permission));
      for (const pair of fitting) {
        if (pair.offered.permission !== permission) continue;
        const met = await visit(sides, pair.offered, trust, sessions.get(pair.issued));
        const resumed = met.record.resumed === true;
        results.push({ pair, outcome: { resumed, reason: met.record.reason }, agreed: met.reused === resumed });
      }
    }
  }
  function rotateTo(generation: 1 | 2): void {
    for (const mesh of MESHES) sides.trust(trust[mesh][generation].credentials);
  }
  const between =
    (from: number, to: number, roundTrip = false) =>
    (pair: Pair) =>
      pair.issued.generation === from && pair.offered.generation === to && pair.roundTrip === roundTrip;

  rotateTo(1);
  await issue(1);
  await offer(between(1, 1));
  rotateTo(2);
  await issue(2);
  await offer((pair) => pair.offered.generation === 2);
  rotateTo(1);
  await offer(between(2, 1));
  await offer(between(1, 1, true));
  return results;
}

type Trust = Readonly<Record<State['mesh'], Readonly<Record<State['generation'], OfGeneration>>>>;

interface OfGeneration {
  readonly resources: string;
  readonly credentials: MeshCredentials;
  readonly clients: Readonly<Record<State['certificate'], CertificateAndKey>>;
}

async function createTrust(): Promise<Trust> {
  const ofMesh = async (name: string) => ({ 1: await generationOf(name), 2: await generationOf(name) });
  return { default: await ofMesh('default'), other: await ofMesh('other') };
}

async function generationOf(name: string): Promise<OfGeneration> {
  const mesh = await createTestMesh(name);
  const now = Date.now();
  const key = createPrivateKey(mesh.client('frontend').key);
  return {
    resources: mesh.resources,
    credentials: await credentialsOf(mesh),
    clients: {
      lasting: mesh.issue({ notAfter: now + 24 * HOUR_MS }, key),
      short: mesh.issue({ notAfter: now + HOUR_MS }, key),
    },
  };
}

/** Makes credentials that outlive the moves of the wall clock. */
export async function credentialsOf({ name, ca }: TestMesh): Promise<MeshCredentials> {
  const { cert, key, notBefore, notAfter } = await issueEgressIdentity({
    mesh: name,
    caCert: ca.cert,
    caKey: ca.key,
    lifetimeMs: 48 * HOUR_MS,
    nowMs: Date.now(),
  });
  return { mesh: meshName(name), trust: ca.cert, generation: hashOf(ca.cert), cert, key, notBefore, notAfter };
}

function visit(sides: TwoSides, state: State, trust: Trust, session?: Buffer): Promise<Met> {
  const { mesh, generation, certificate, worker, protocol } = state;
  const client = trust[mesh][generation].clients[certificate];
  const servername = `api-${mesh}{mesh=${mesh}}`;
  return sides.meet(worker, {
    ...client,
    servername,
    minVersion: protocol,
    maxVersion: protocol,
    ...(session === undefined ? {} : { session: withServerName(session, servername) }),
  });
}

/** In each mesh a service that its client may reach now, or not. */
function resources(port: number, trust: Trust, permission: State['permission']): string {
  return [
    `type: ZoneEgress
name: egress
zone: east
networking: { address: 127.0.0.1, port: 10002 }
`,
    ...MESHES.flatMap((mesh) => [
      trust[mesh][1].resources,
      `type: ExternalService
mesh: ${mesh}
name: api-${mesh}
tags: { kuma.io/service: api-${mesh}, kuma.io/protocol: tcp }
networking: { address: '127.0.0.1:${port}' }
`,
      `type: TrafficPermission
mesh: ${mesh}
name: out
sources: [{ match: { kuma.io/service: ${permission === 'allowed' ? 'frontend' : 'batch'} } }]
destinations: [{ match: { kuma.io/service: api-${mesh} } }]
`,
    ]),
  ].join('\n---\n');
}
