import { objectIn } from './token.ts';

/** The proxy that a token is for. */
export interface TokenOwner {
  /** Empty for a ZoneEgress. */
  readonly mesh: string;
  readonly name: string;
  /**
   * The label `kuma.io/workload` of its resource: null without one, undefined where only the
   * control plane knows it.
   */
  readonly workload: string | null | undefined;
}

/**
 * Returns why a control plane will probably refuse this token for this proxy, one sentence each. It
 * only reads the claims: the control plane judges, and it may be set to accept any token.
 */
export function tokenDoubts(token: string, owner: TokenOwner, nowMs: number): readonly string[] {
  const { mesh, name, workload } = owner;
  const claims: Readonly<Record<string, unknown>> = { ...objectIn(token.split('.')[1] ?? '') };
  const text = (key: string): string => (typeof claims[key] === 'string' ? claims[key] : '');
  const isZone = 'Zone' in claims || 'Scope' in claims;
  const of = mesh === '' ? `the ZoneEgress ${name}` : `the Dataplane ${name} of mesh ${mesh}`;
  const needed = mesh === '' ? NEEDS_ZONE_TOKEN : needsDataplaneToken(owner);
  if (isZone && mesh !== '') return [`the token is a zone token, and ${of} needs a dataplane token: ${needed}`];
  if (!isZone && 'Mesh' in claims && mesh === '')
    return [`the token is a dataplane token of mesh ${shown(text('Mesh'))}, and ${of} needs a zone token: ${needed}`];
  const found: string[] = [];
  const differs = (key: string, what: string, wanted: string | null | undefined): void => {
    if (mesh === '' || wanted === null || wanted === undefined || text(key) === '' || text(key) === wanted) return;
    found.push(
      `the token is for ${what} ${shown(text(key))}, and this is ${of}${key === 'Workload' ? ` with the workload ${shown(wanted)}` : ''}: ${needed}`,
    );
  };
  differs('Mesh', 'mesh', mesh);
  differs('Name', 'the Dataplane', name);
  differs('Workload', 'the workload', workload);
  if (mesh !== '' && text('Workload') !== '' && workload === null)
    found.push(
      `the token is for the workload ${shown(text('Workload'))}, and ${of} has no label kuma.io/workload: add it to the Dataplane`,
    );
  const { exp, nbf } = claims;
  const iso = (seconds: number): string => new Date(seconds * 1_000).toISOString();
  if (typeof exp === 'number' && exp * 1_000 <= nowMs) found.push(`the token has expired ${iso(exp)}: ${needed}`);
  if (typeof nbf === 'number' && nbf * 1_000 > nowMs)
    found.push(`the token is valid from ${iso(nbf)} only: compare the clocks of this machine and of where it was made`);
  return found;
}

const NEEDS_ZONE_TOKEN = 'generate one with `kumactl generate zone-token --zone <zone> --scope egress --valid-for 720h`';

function needsDataplaneToken({ mesh, workload }: TokenOwner): string {
  return `generate one with \`kumactl generate dataplane-token --mesh ${shown(mesh)} --workload ${workload === null || workload === undefined ? '<workload>' : shown(workload)} --valid-for 720h\``;
}

/** Shows plain names as they are, because a claim may hold any text. */
function shown(text: string): string {
  return /^[\w.:/-]{1,253}$/.test(text) ? text : JSON.stringify(text.slice(0, 253));
}
