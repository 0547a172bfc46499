// An egress that runs already, anywhere: its route has to lead to the far end of this run, whose
// port is given too.
import type { HttpWork, Work } from './bed.ts';
import { WORKS } from './bed.ts';
import type { Contender } from './contenders.ts';
import type { ClientFiles } from './question.ts';

export const TARGET_OPTIONS: Readonly<Record<OptionName, { readonly type: 'string'; readonly default?: string }>> = {
  target: { type: 'string' },
  pid: { type: 'string' },
  sni: { type: 'string' },
  work: { type: 'string', default: 'passthrough' },
  cert: { type: 'string' },
  key: { type: 'string' },
  'far-end-port': { type: 'string', default: '19000' },
  'far-end-tls-port': { type: 'string', default: '19001' },
};

type OptionName = 'target' | 'pid' | 'sni' | 'work' | 'cert' | 'key' | 'far-end-port' | 'far-end-tls-port';

export interface GivenTarget {
  readonly contender: Contender;
  readonly farEndPort: number;
  readonly farEndTlsPort: number;
  /** Null where TLS does not end at the target. */
  readonly client: ClientFiles | null;
}

type Values = Readonly<Partial<Record<OptionName, string>>>;

/** Null without `--target`. Throws for one that cannot be used. */
export function targetOf(values: Values): GivenTarget | null {
  const { target, pid, sni, cert, key } = values;
  if (target === undefined) return null;
  const [host = '', port = ''] = target.split(':');
  const work = WORKS.find((name) => name === values.work);
  if (!/^\d+(\.\d+){3}$/.test(host) || !(Number(port) > 0))
    throw new Error(`--target ${target}: takes an IPv4 address and a port`);
  if (sni === undefined) throw new Error('--target needs --sni, the name of the route that leads to the far end');
  if (work === undefined) throw new Error(`--work ${values.work}: allowed is ${WORKS.join(', ')}`);
  if (work !== 'passthrough' && (cert === undefined || key === undefined))
    throw new Error(`--work ${work} needs --cert and --key, the certificate of a client in the mesh`);
  const at = (wanted: Work | HttpWork): { host: string; port: number; sni: string } | null =>
    wanted === work ? { host, port: Number(port), sni } : null;
  return {
    farEndPort: Number(values['far-end-port']),
    farEndTlsPort: Number(values['far-end-tls-port']),
    client: cert === undefined || key === undefined ? null : () => ({ cert, key }),
    contender: {
      name: target,
      kind: 'target',
      variant: false,
      start: async () => ({
        pid: pid === undefined ? null : Number(pid),
        at: (wanted, mesh = 'default') => (mesh === 'default' ? at(wanted) : null),
        reload: null,
        stop: async () => {},
      }),
    },
  };
}
