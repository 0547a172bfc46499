import { plural } from '../../base/plural.ts';
import type { ProxyState } from '../../admin/proxy-state.ts';
import type { AdsStatus } from '../../xds/stream/ads-client.ts';
import type { Good } from './config-source.ts';

/** The facts about one proxy at this moment. */
export interface ProxyMoment {
  readonly name: string;
  /** Empty for a ZoneEgress. */
  readonly mesh: string;
  /** Its last good configuration; null before the first. */
  readonly good: Good | null;
  /** Null without a stream, and before the first one. */
  readonly status: Pick<AdsStatus, 'phase' | 'lastError'> | null;
  /** Why it has no bootstrap; null while that is not known. */
  readonly refusal: string | null;
  /** True when it is no longer wanted, and only its sessions are left. */
  readonly leaves: boolean;
}

/** `mesh.name` of a Dataplane, the name of a ZoneEgress. */
export function proxyId({ name, mesh }: { readonly name: string; readonly mesh?: string | undefined }): string {
  return mesh === undefined || mesh === '' ? name : `${mesh}.${name}`;
}

export function proxyState(moment: ProxyMoment): ProxyState {
  const { name, mesh, good, leaves } = moment;
  const problem = problemOf(moment);
  const state = leaves ? 'leaving' : good !== null ? 'live' : problem === null ? 'joining' : 'refused';
  return { id: proxyId(moment), mesh, name, state, sentence: SENTENCES[state](moment, problem) };
}

type Sentence = (moment: ProxyMoment, problem: string | null) => string;

const SENTENCES: Readonly<Record<ProxyState['state'], Sentence>> = {
  leaving: (moment) => `${kindOf(moment)} leaves: its file is gone, and what it served is served until the drain time is over`,
  joining: (moment) => `${kindOf(moment)} waits for its first configuration from the control plane`,
  refused: (moment, problem) => `${kindOf(moment)} cannot join: ${problem ?? ''}; this is tried again`,
  live(moment, problem) {
    const { good } = moment;
    const [missing] = good?.problems.filter(({ field }) => field === `mesh:${moment.mesh}`) ?? [];
    const count = good?.snapshot.routes.size ?? 0;
    const serves = `${kindOf(moment)} serves ${plural(count, 'route')}`;
    const what = good?.listener.absent === true ? `${kindOf(moment)} has joined and serves nothing` : serves;
    if (moment.status?.phase === 'closed')
      return `${what}, from its last configuration: the egress drains and has left the control plane`;
    if (problem !== null) return `${what}, from its last configuration: ${problem}; this is tried again`;
    if (moment.status?.phase !== 'live') return `${what}, from its last configuration, while it waits for the control plane`;
    return missing === undefined ? `${what}, and the control plane answers` : `${what}: ${missing.message}`;
  },
};

/** Returns what keeps it from its control plane; null where nothing does. */
function problemOf({ status, refusal }: ProxyMoment): string | null {
  if (refusal !== null) return refusal;
  if (status === null || status.lastError === null || status.phase === 'live') return null;
  const { message, advice } = status.lastError;
  return advice === null ? message : `${message}; ${advice}`;
}

function kindOf({ mesh }: ProxyMoment): string {
  return mesh === '' ? 'the ZoneEgress' : 'the Dataplane';
}
