// Question: what does a byte cost? By work, direction, number of connections and size of messages.
import type { Work } from './bed.ts';
import { WORKS } from './bed.ts';
import { drive, driving } from './question.ts';
import type { Case, Question } from './question.ts';

const GB = 1e9;
const DIRECTIONS = ['up', 'down', 'both'] as const;
type Direction = (typeof DIRECTIONS)[number];
const CONNECTIONS = [4, 64, 1_000];
const MESSAGES = [64, 1_024, 16_384];
/** The most writes of one run: small messages make fewer bytes. */
const MESSAGES_MOST = 200_000;

export const throughput: Question = {
  name: 'throughput',
  asks: 'what does a byte cost?',
  fresh: false,
  metrics: [
    { key: 'cpu', label: 'CPU s/GB', digits: 2, charted: true },
    { key: 'rate', label: 'MB/s', digits: 0 },
    { key: 'machine', label: 'machine s/GB', digits: 2 },
  ],
  cases: ({ seconds, smoke }) => {
    const bytes = (work: Work): number => (work === 'passthrough' ? 1e9 : 0.5e9) * seconds;
    const plain = WORKS.flatMap((work) =>
      DIRECTIONS.map((direction) => transfer({ work, direction, bytes: bytes(work), connections: 1, message: 1_048_576 })),
    );
    const more = (['passthrough', 'terminated'] as const).flatMap((work) => [
      ...CONNECTIONS.map((connections) =>
        transfer({ work, direction: 'up', bytes: bytes(work), connections, message: 65_536 }, false),
      ),
      ...MESSAGES.map((message) =>
        transfer(
          { work, direction: 'up', bytes: Math.min(bytes(work), MESSAGES_MOST * seconds * message), connections: 1, message },
          false,
        ),
      ),
    ]);
    return smoke ? plain.filter(({ name }) => name.includes(' both')) : [...plain, ...more];
  },
};

interface Transfer {
  readonly work: Work;
  readonly direction: Direction;
  /** For `both`, half of them in each direction. */
  readonly bytes: number;
  readonly connections: number;
  readonly message: number;
}

function transfer({ work, direction, bytes, connections, message }: Transfer, headline = true): Case {
  const share = direction === 'both' ? bytes / 2 : bytes;
  // Rounded to the same number for each connection.
  const total = Math.max(1, Math.round(share / connections)) * connections;
  const size = message >= 1_048_576 ? '1 MiB' : message >= 1_024 ? `${message / 1_024} KiB` : `${message} B`;
  return {
    name: `${work} ${direction}, ${connections} connection${connections === 1 ? '' : 's'}, ${size} messages`,
    headline,
    async measure({ running, client }) {
      const target = running?.at(work) ?? null;
      if (running === null || target === null) return null;
      const options = {
        ...(await driving({ target, work }, client)),
        connections,
        message,
        up: direction === 'down' ? 0 : total,
        down: direction === 'up' ? 0 : total,
      };
      const { cpu, machine, up, down, seconds } = await drive('bulk', options, running);
      const gb = (up + down) / GB;
      return { ...(running.pid === null ? {} : { cpu: cpu / gb }), machine: machine / gb, rate: (gb * 1_000) / seconds };
    },
  };
}
