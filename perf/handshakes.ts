// Question: what does a connection with mutual TLS cost? The first of a client, and later ones that
// offer a ticket, as sidecars do.
import type { MeshName } from './bed.ts';
import { drive, driving, warmUp } from './question.ts';
import type { Case, Question } from './question.ts';

const PARALLEL = 4;

export const handshakes: Question = {
  name: 'handshakes',
  asks: 'what does a connection with mutual TLS cost?',
  fresh: false,
  metrics: [
    { key: 'cpu', label: 'CPU ms', digits: 2, charted: true },
    { key: 'rate', label: 'connections/s', digits: 0 },
    { key: 'resumed', label: 'resumed %', digits: 0 },
    { key: 'p50', label: 'p50 µs', digits: 0 },
    { key: 'machine', label: 'machine ms', digits: 2 },
  ],
  cases: ({ seconds, smoke }) => {
    const all = (['default', 'ec'] as const).flatMap((mesh) =>
      (['1.3', '1.2'] as const).flatMap((version) => [false, true].map((later) => shaken({ mesh, version, later, seconds }))),
    );
    return smoke ? [...all.slice(0, 1), ...all.slice(-1)] : all;
  },
};

interface Shaken {
  readonly mesh: MeshName;
  readonly version: '1.2' | '1.3';
  readonly later: boolean;
  readonly seconds: number;
}

function shaken({ mesh, version, later, seconds }: Shaken): Case {
  return {
    name: `${mesh === 'ec' ? 'P-256' : 'RSA-2048'}, TLS ${version}, ${later ? 'later (offers a ticket)' : 'first'}`,
    async measure({ running, client }) {
      const target = running?.at('terminated', mesh) ?? null;
      // The far end asks for no client certificate: its work is not the same.
      if (running === null || running.pid === null || target === null) return null;
      const total = Math.max(20, Math.round(500 * seconds));
      const options = {
        ...(await driving({ target, work: 'terminated', mesh }, client)),
        connections: PARALLEL,
        total,
        max: version,
        resume: later ? 1 : 0,
        close: 'fin',
      };
      await warmUp(running, 'handshakes', {
        amount: total * 6,
        work: (amount) => drive('rate', { ...options, total: amount }, running),
      });
      const { cpu, machine, seconds: took, p50, resumed } = await drive('rate', options, running);
      return {
        cpu: (cpu * 1e3) / total,
        machine: (machine * 1e3) / total,
        rate: total / took,
        p50,
        resumed: (resumed / total) * 100,
      };
    },
  };
}
