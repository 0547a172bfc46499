import type { Clock } from '../base/clock.ts';
import { askAdmin } from './ask-admin.ts';
import type { AdminAnswer } from './ask-admin.ts';
import type { TopCommand } from './commands/top.ts';
import { tokenOf } from './run-changes.ts';
import { sampleOf } from './top/sample.ts';
import type { Pages, Sample } from './top/sample.ts';

/** A look costs the egress some milliseconds with these. */
const MOST_OPEN = 500;
export const MOST_ENDED = 500;
const PAGES: Readonly<Record<keyof Pages, string>> = {
  sessions: `/sessions?sort=rate&limit=${MOST_OPEN}`,
  decisions: `/decisions?limit=${MOST_ENDED}`,
  metrics: '/stats/prometheus',
  alarms: '/alarms',
  problems: '/config_errors',
  ready: '/ready',
};
export type Asker = (target: string, method?: 'GET' | 'POST') => Promise<AdminAnswer>;

export function askerOf({ at, tokenFile }: TopCommand): Asker {
  const token = tokenOf(tokenFile);
  const headers = token === null ? {} : { authorization: `Bearer ${token}` };
  return (target, method = 'GET') => askAdmin(at, target, { method, ...(method === 'POST' ? { headers } : {}) });
}

/** Rejects with a sentence where a page has no good answer. /ready says 503 while it is not. */
export async function lookAt(asker: Asker, clock: Clock): Promise<Sample> {
  const texts = await Promise.all(
    Object.entries(PAGES).map(async ([name, target]) => {
      const { status, body } = await asker(target);
      if (status !== 200 && name !== 'ready') throw new Error(`${target}: ${status}: ${body.trim().slice(0, 200)}`);
      return [name, body] as const;
    }),
  );
  const of = new Map<string, string>(texts);
  const text = (name: keyof Pages): string => of.get(name) ?? '';
  return sampleOf(
    {
      sessions: text('sessions'),
      decisions: text('decisions'),
      metrics: text('metrics'),
      alarms: text('alarms'),
      problems: text('problems'),
      ready: text('ready'),
    },
    clock.wall(),
  );
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
