import { AssertionError } from 'node:assert';
import type { RequestRecord } from '../../model/request-record.ts';
import { isRefused } from './fake-session.ts';
import { mismatches, show, showWants } from './match.ts';
import type { Wants } from './match.ts';
import type { ServedRequest } from './served-requests.ts';
import { DEFAULT_TIMEOUT_MS } from './session-history.ts';
import type { RecordedHistory, WaitOptions } from './session-history.ts';

/** A request of an HTTP service that ended: its record, with what the fake knows besides. */
export interface FakeRequest extends RequestRecord {
  /** True when the egress answered it, or could not pass its answer on. */
  readonly refused: boolean;
  /** Services in the client's certificate. */
  readonly from: readonly string[];
  /**
   * The request as it arrived at a declared fake with the behaviour `http`: its Host, all headers,
   * the query and the body. Null where none has it.
   */
  readonly received: ServedRequest | null;
}

export type RequestWants = Wants<FakeRequest>;

export function fakeRequest(record: RequestRecord, received: ServedRequest | null): FakeRequest {
  const from = record.spiffeIds.map((id) => id.split('/').slice(3).join('/'));
  return Object.freeze({ ...record, refused: isRefused(record.reason), from, received });
}

const NEAREST = 3;

/** Each expectation claims the request that it matches: two equal ones need two requests. */
export class RequestExpectations {
  readonly #requests: RecordedHistory<FakeRequest>;
  readonly #claimed = new Set<FakeRequest>();
  readonly #unmet = new Set<RequestWants>();

  constructor(requests: RecordedHistory<FakeRequest>) {
    this.#requests = requests;
  }

  /** Resolves with the first request, past or to come, that fits and that is not claimed. */
  async expect(wants: RequestWants, { timeout = DEFAULT_TIMEOUT_MS }: WaitOptions): Promise<FakeRequest> {
    this.#unmet.add(wants);
    const isIt = (request: FakeRequest): boolean => !this.#claimed.has(request) && mismatches(wants, request).length === 0;
    const found = await this.#requests.find(isIt, timeout);
    if (found === undefined) throw this.#missing(wants, timeout);
    this.#unmet.delete(wants);
    this.#claimed.add(found);
    return found;
  }

  unmet(): readonly string[] {
    return [...this.#unmet].map((wants) => `unmet: a request with ${showWants(wants)}`);
  }

  #missing(wants: RequestWants, timeout: number): AssertionError {
    const ranked = this.#requests
      .toArray()
      .map((request) => ({ request, wrong: mismatches(wants, request) }))
      .sort((a, b) => a.wrong.length - b.wrong.length);
    const lines = [`expected a request with ${showWants(wants)}: none in ${timeout} ms`];
    if (ranked.length === 0) lines.push('no request has ended so far');
    for (const { request, wrong } of ranked.slice(0, NEAREST)) {
      lines.push(`near: ${requestLine(request)}`);
      for (const { field, wanted, found } of wrong) lines.push(`    ${field}: wanted ${show(wanted)}, was ${show(found)}`);
      if (wrong.length === 0) lines.push('    another expectation has it already');
    }
    if (ranked.length > NEAREST) lines.push(`and ${ranked.length - NEAREST} more`);
    return new AssertionError({ message: lines.join('\n'), expected: { ...wants }, operator: 'expectRequest' });
  }
}

/** Formats `web -> GET shop/get: 403: answered 403 …`. */
function requestLine({ from, clientAddress, method, authority, path, status, detail }: FakeRequest): string {
  const who = from.length === 0 ? clientAddress : from.join(', ');
  return [`${who} -> ${method} ${authority}${path}: ${status}`, detail].filter((part) => part !== '').join(': ');
}
