import { ALARMS } from '../../model/alarm.ts';
import type { Alarm, AlarmName, AlarmSeverity } from '../../model/alarm.ts';
import { innerMap } from '../../base/inner-map.ts';
import type { AlarmFinding } from './alarm-facts.ts';

/** How long something has to be wrong before its alarm begins; others begin at once. */
const BEGINS_AFTER_MS: Readonly<Partial<Record<AlarmName, number>>> = {
  'control-plane-away': 15_000,
  'no-endpoint': 15_000,
  'endpoints-unhealthy': 15_000,
  'limit-near': 10_000,
  'not-listening': 10_000,
};
/** How long it has to be right again before the alarm ends. */
const ENDS_AFTER_MS: Readonly<Partial<Record<AlarmName, number>>> = {
  'control-plane-away': 10_000,
  'no-endpoint': 10_000,
  'endpoints-unhealthy': 15_000,
  'limit-near': 30_000,
  'refusals-jump': 60_000,
  'data-side-silent': 10_000,
};

interface Entry {
  finding: AlarmFinding;
  /** When it was first seen: by the wall clock, and by the monotonic one. */
  readonly since: number;
  readonly firstAt: number;
  lastAt: number;
  /** The number of the last update that had it. */
  seen: number;
  isOn: boolean;
}

/** A change of the list, for the log. */
export interface AlarmChange {
  readonly kind: 'begins' | 'changes' | 'ends';
  readonly alarm: Alarm;
  /** For `ends`, how long it was on. */
  readonly forMs: number;
}

/** The alarms that are on. One begins and ends only after a while, so that it does not flap. */
export class AlarmBoard {
  readonly #entries = new Map<string, Map<string, Entry>>();
  #updates = 0;

  /** Returns the severity with which it is on; null while it is off. */
  isOn(name: AlarmName, subject: string): AlarmSeverity | null {
    const entry = this.#entries.get(name)?.get(subject);
    return entry?.isOn === true ? entry.finding.severity : null;
  }

  /** Takes what is wrong at this moment; `now` is monotonic, `wall` since the Unix epoch. */
  update(findings: readonly AlarmFinding[], { now, wall }: { readonly now: number; readonly wall: number }): AlarmChange[] {
    const changes: AlarmChange[] = [];
    const seen = ++this.#updates;
    for (const finding of findings) {
      const ofName = innerMap(this.#entries, finding.name);
      const entry = ofName.get(finding.subject) ?? { finding, since: wall, firstAt: now, lastAt: now, seen, isOn: false };
      ofName.set(finding.subject, entry);
      const isOther = entry.isOn && entry.finding.severity !== finding.severity;
      entry.finding = finding;
      entry.lastAt = now;
      entry.seen = seen;
      const begins = !entry.isOn && now - entry.firstAt >= (BEGINS_AFTER_MS[finding.name] ?? 0);
      if (begins) entry.isOn = true;
      if (begins || isOther) changes.push({ kind: begins ? 'begins' : 'changes', alarm: shown(entry), forMs: 0 });
    }
    for (const ofName of this.#entries.values())
      for (const [subject, entry] of ofName) {
        if (entry.seen === seen) continue;
        if (entry.isOn && now - entry.lastAt < (ENDS_AFTER_MS[entry.finding.name] ?? 0)) continue;
        ofName.delete(subject);
        if (entry.isOn) changes.push({ kind: 'ends', alarm: shown(entry), forMs: wall - entry.since });
      }
    return changes;
  }

  /** Lists what is on: the critical ones first, then the oldest. */
  list(): readonly Alarm[] {
    const on = [...this.#entries.values()].flatMap((ofName) => [...ofName.values()].filter(({ isOn }) => isOn));
    const rank = ({ finding: { severity } }: Entry): number => (severity === 'critical' ? 0 : 1);
    return on.sort((a, b) => rank(a) - rank(b) || a.since - b.since).map(shown);
  }
}

function shown({ finding: { name, severity, subject, says }, since }: Entry): Alarm {
  return { name, severity, since: new Date(since).toISOString(), subject, says, do: ALARMS[name].remedy };
}
