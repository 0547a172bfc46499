// Makes the table of docs/guides/capacity.md from the kept run of perf/.
import { readFileSync } from 'node:fs';

interface Kept {
  readonly machine: { readonly cpu: string; readonly node: string };
  readonly figures: readonly {
    readonly results: readonly {
      readonly name: string;
      readonly contender: string;
      readonly values: readonly Readonly<Record<string, number>>[];
    }[];
  }[];
}

const KEPT = new URL('../perf/results/kept.json', import.meta.url);

/** The median of this egress in the kept run. */
function median({ figures }: Kept, name: string, key: string): number {
  const found = figures.flatMap(({ results }) => results).find((each) => each.name === name && each.contender === 'zone-egress');
  const values = (found?.values ?? []).map((value) => value[key] ?? Number.NaN).sort((a, b) => a - b);
  const middle = values[Math.floor(values.length / 2)];
  if (middle === undefined || Number.isNaN(middle)) throw new Error(`the kept run has no ${key} of ${name}`);
  return middle;
}

export function capacityTable(): string {
  const kept = JSON.parse(readFileSync(KEPT, 'utf8')) as Kept;
  const of = (name: string, key: string): number => median(kept, name, key);
  const many = (count: number): string => (Math.floor(count / 100) * 100).toLocaleString('en-US');
  const connection = of('passthrough connection, FIN', 'cpu');
  const handshake = (name: string): readonly string[] => {
    const ms = of(`${name}, TLS 1.3, first`, 'cpu');
    return [`a new session that ends TLS here, ${name} of the mesh`, `${ms.toFixed(2)} ms`, `${many(1000 / ms)} each second`];
  };
  const bytes = (work: string): readonly string[] => {
    const [up, down] = ['up', 'down'].map((way) => of(`${work} ${way}, 1 connection, 1 MiB messages`, 'cpu')) as [number, number];
    const rate = (seconds: number): string => `${(1 / seconds).toFixed(1)} GB/s`;
    return [`bytes, ${work}: up, down`, `${up.toFixed(2)} s/GB, ${down.toFixed(2)} s/GB`, `${rate(up)}, ${rate(down)}`];
  };
  const [plain, ended] = ['passthrough', 'terminated'].map((work) => of(`${work}, 1000 idle connections`, 'held')) as [
    number,
    number,
  ];
  const [few, lots] = ['10 routes', '10,000 routes'].map((name) => of(name, 'rested')) as [number, number];
  const rows = [
    ['a new session that passes through', `${(connection / 1000).toFixed(2)} ms`, `${many(1e6 / connection)} each second`],
    handshake('RSA-2048'),
    handshake('P-256'),
    bytes('passthrough'),
    bytes('terminated'),
    bytes('re-encrypted'),
    ['1,000 idle sessions: passing through, with TLS', '–', `${Math.round(plain)} MB, ${Math.round(ended)} MB`],
    ['the process: with 10 routes, with 10,000', '–', `${Math.round(few)} MB, ${Math.round(lots)} MB`],
  ];
  const lines = [['what', 'CPU', 'one core carries, or memory'], ['---', '---:', '---:'], ...rows];
  return `\n${lines.map((row) => `| ${row.join(' | ')} |`).join('\n')}\n`;
}
