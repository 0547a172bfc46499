// Keeps the records of several egresses, and judges each once more when all cases are played.
import type { Test } from 'tap';
import type { Egress, SessionRecord } from '../../src/egress.ts';
import { decidedAlike } from '../egress/decided-alike.ts';
import { until } from '../egress/until.ts';

export interface Records {
  watch(egress: Egress): void;
  /** Returns the record of the session from this port of a client. */
  take(port: number): Promise<SessionRecord>;
  judgeAgain(): void;
}

export function keepRecords(t: Test): Records {
  const records: { readonly egress: Egress; readonly record: SessionRecord }[] = [];
  const taken = new Set<SessionRecord>();
  return {
    watch(egress) {
      egress.onRecord((record) => void records.push({ egress, record }));
    },
    async take(port) {
      // The kernel reuses the port of an ended session.
      const at = (): number => records.findLastIndex(({ record }) => record.clientPort === port && !taken.has(record));
      await until('the record', () => at() >= 0);
      const { record } = records[at()]!;
      taken.add(record);
      return record;
    },
    judgeAgain() {
      for (const { egress, record } of records) {
        const problem = decidedAlike(egress.snapshot(), record);
        if (problem !== null) t.fail(problem, { record });
      }
    },
  };
}
