import { AssertionError } from 'node:assert';
import type { FakeSession } from './fake-session.ts';
import { sessionLine } from './fake-session.ts';
import { DEFAULT_TIMEOUT_MS } from './session-history.ts';
import type { RecordedHistory, WaitOptions } from './session-history.ts';
import { mismatches, show, showWants } from './match.ts';
import type { Wants } from './match.ts';

/**
 * Selects a session by any of its fields, as a value, a pattern or a function. `from` is the
 * service of the client.
 */
export type SessionWants = Wants<Omit<FakeSession, 'explain'>>;

interface Expectation {
  readonly what: string;
  readonly wants: SessionWants;
  met: boolean;
}

const NEAREST = 3;

/**
 * Each expectation claims the session that it matches: two equal ones need two sessions. `verify`
 * reports unclaimed refusals.
 */
export class Expectations {
  readonly #sessions: RecordedHistory<FakeSession>;
  readonly #all: Expectation[] = [];
  readonly #claimed = new Set<FakeSession>();

  constructor(sessions: RecordedHistory<FakeSession>) {
    this.#sessions = sessions;
  }

  /**
   * Resolves with the first session, past or to come, that fits and that no other expectation has
   * claimed.
   */
  async expect(what: 'session' | 'refusal', wants: SessionWants, options: WaitOptions = {}): Promise<FakeSession> {
    const expectation: Expectation = { what, wants, met: false };
    this.#all.push(expectation);
    const isKind = (session: FakeSession): boolean => session.refused === (what === 'refusal');
    const { timeout = DEFAULT_TIMEOUT_MS } = options;
    const found = await this.#sessions.find(
      (session) => isKind(session) && !this.#claimed.has(session) && mismatches(wants, session).length === 0,
      timeout,
    );
    if (found === undefined) throw this.#missing(expectation, timeout);
    expectation.met = true;
    this.#claimed.add(found);
    return found;
  }

  unmet(): readonly string[] {
    return this.#all.filter(({ met }) => !met).map(({ what, wants }) => `unmet: a ${what} with ${showWants(wants)}`);
  }

  /**
   * Returns the refusals that were not expected, each with the change that would make it pass. A
   * client that left by itself is not one of them.
   */
  unexpected(): readonly string[] {
    return this.#sessions
      .toArray()
      .filter((session) => session.refused && session.reason !== 'client-gone' && !this.#claimed.has(session))
      .map((session) => [`unexpected: ${sessionLine(session)}`, ...hints(session)].join('\n    '));
  }

  #missing({ what, wants }: Expectation, timeout: number): AssertionError {
    const ranked = this.#sessions
      .toArray()
      .map((session) => ({
        session,
        wrong: mismatches(wants, session),
        other: session.refused !== (what === 'refusal'),
        claimed: this.#claimed.has(session),
      }))
      .sort((a, b) => a.wrong.length + Number(a.other) - (b.wrong.length + Number(b.other)));
    const lines = [`expected a ${what} with ${showWants(wants)}: none in ${timeout} ms`];
    if (ranked.length === 0) lines.push('no session has ended so far');
    for (const { session, wrong, other, claimed } of ranked.slice(0, NEAREST)) {
      lines.push(`near: ${sessionLine(session)}`);
      for (const { field, wanted, found } of wrong) lines.push(`    ${field}: wanted ${show(wanted)}, was ${show(found)}`);
      if (other) lines.push(session.refused ? '    it was refused' : '    it was not refused');
      if (wrong.length === 0 && claimed) lines.push('    another expectation has it already');
      if (session.refused) lines.push(...hints(session).map((hint) => `    ${hint}`));
    }
    if (ranked.length > NEAREST) lines.push(`and ${ranked.length - NEAREST} more`);
    const nearest = ranked[0]?.session;
    return new AssertionError({
      message: lines.join('\n'),
      actual: nearest === undefined ? undefined : picked(nearest, wants),
      expected: { ...wants },
      operator: what === 'refusal' ? 'expectRefused' : 'expectSession',
    });
  }
}

/** Returns explain's nearest matches, and what to change. */
function hints(session: FakeSession): readonly string[] {
  try {
    const { nearest, advice } = session.explain();
    return [
      ...nearest.map(({ name, text }) => `near: "${name}": ${text}`),
      ...(advice === null ? [] : [`to make it pass: ${advice.text}`]),
    ];
  } catch {
    // The egress remembers only the last sessions, and this one is not among them.
    return [];
  }
}

function picked(session: FakeSession, wants: SessionWants): Record<string, unknown> {
  return Object.fromEntries(Object.keys(wants).map((field) => [field, session[field as keyof SessionWants]]));
}
