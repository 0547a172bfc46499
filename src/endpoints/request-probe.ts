/**
 * Makes one active check of one endpoint by a request: HTTP by its status, gRPC by
 * `grpc.health.v1`. It does not judge: health.ts counts.
 */
import type { Clock } from '../base/clock.ts';
import type { HealthCheck, HealthProbe } from '../model/cluster.ts';
import { Http1Line } from './h1-line.ts';
import { Http2Line } from './h2-line.ts';
import type { CheckResponse, HttpLine, CheckRequest } from './http-line.ts';
import type { Dialling, EndpointProbe, ProbeResult } from './probe.ts';

/** The address of a check, and its name there. */
export interface ProbeTarget {
  readonly clock: Clock;
  readonly dial: () => Dialling;
  /** The `Host` of requests to the endpoint. */
  readonly host: string;
  readonly isTls: boolean;
}

type RequestCheck = HealthCheck & { readonly probe: Exclude<HealthProbe, { kind: 'tcp' }> };

/** The value that services see in Envoy's checks. */
const USER_AGENT = 'Envoy/HC';

/** The finding for a healthy service, and for one that announces its end. */
const WELL: ProbeResult = { finding: null, decides: false };

/** With this header a service asks to be taken out at once. */
const LEAVE_HEADER = 'x-envoy-immediate-health-check-fail';

export class RequestProbe implements EndpointProbe {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #line: HttpLine;
  readonly #question: CheckRequest;
  readonly #judge: (answer: CheckResponse) => ProbeResult;
  #stop: (() => void) | null = null;

  constructor({ probe, timeoutMs, reuseConnection: reuse }: RequestCheck, { clock, dial, host, isTls }: ProbeTarget) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    const isHttp1 = probe.kind === 'http' && !probe.http2;
    this.#line = isHttp1 ? new Http1Line({ dial, reuse }) : new Http2Line({ dial, reuse });
    const scheme = isTls ? 'https' : 'http';
    this.#question = probe.kind === 'http' ? httpQuestion(probe, { host, scheme }) : grpcQuestion(probe, { host, scheme });
    this.#judge = probe.kind === 'http' ? (answer) => judgeHttp(answer, probe) : judgeGrpc;
  }

  run(done: (found: ProbeResult) => void): void {
    const finish = (found: ProbeResult): void => {
      this.#stop = null;
      timer.cancel();
      done(found);
    };
    const timer = this.#clock.after(this.#timeoutMs, () => {
      giveUp();
      finish(counted(`nothing after ${this.#timeoutMs} ms`));
    });
    let isOver = false;
    const giveUp = this.#line.ask(this.#question, (answer) => {
      isOver = true;
      finish(typeof answer === 'string' ? counted(answer) : this.#judge(answer));
    });
    if (isOver) return;
    this.#stop = () => {
      timer.cancel();
      giveUp();
    };
  }

  close(): void {
    this.#stop?.();
    this.#stop = null;
    this.#line.close();
  }
}

type To = Pick<CheckRequest, 'host' | 'scheme'>;

function httpQuestion(probe: Extract<HealthProbe, { kind: 'http' }>, { host, scheme }: To): CheckRequest {
  const { method = 'GET', path, headers = [] } = probe;
  return {
    method,
    scheme,
    path,
    host: probe.host ?? host,
    headers: withAgent(headers),
    body: null,
    keepBytes: 0,
  };
}

/** A failed connection is one failure of several; a bad answer is enough alone. */
function judgeHttp(
  { status, headers }: CheckResponse,
  { expectedStatuses, retriableStatuses = [] }: Extract<HealthProbe, { kind: 'http' }>,
): ProbeResult {
  if (headers.has(LEAVE_HEADER)) return decided(`it asks to be left alone (${LEAVE_HEADER})`);
  if (expectedStatuses.includes(status)) return WELL;
  return retriableStatuses.includes(status) ? counted(`status ${status}`) : decided(`status ${status}`);
}

/** More than any message of `grpc.health.v1` has. */
const MAX_MESSAGE_BYTES = 4_096;

/** `HealthCheckRequest` has one field, the name of the service. */
function grpcQuestion({ serviceName, authority, headers = [] }: Extract<HealthProbe, { kind: 'grpc' }>, to: To): CheckRequest {
  const name = Buffer.from(serviceName);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...varint(name.length)]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return {
    method: 'POST',
    scheme: to.scheme,
    path: '/grpc.health.v1.Health/Check',
    host: authority === '' ? to.host : authority,
    headers: [...withAgent(headers), 'content-type', 'application/grpc', 'te', 'trailers'],
    body: Buffer.concat([prefix, message]),
    keepBytes: MAX_MESSAGE_BYTES,
  };
}

const SERVING = 1;
const STATES: readonly string[] = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

function judgeGrpc({ status, headers, trailers, body }: CheckResponse): ProbeResult {
  if (status !== 200) return decided(`status ${status}`);
  const type = headers.get('content-type') ?? '';
  if (!/^application\/grpc(?:[+;]|$)/.test(type)) return decided(`its answer is ${type === '' ? 'of no type' : type}`);
  const code = trailers.get('grpc-status') ?? headers.get('grpc-status') ?? '';
  if (code !== '0') {
    const words = trailers.get('grpc-message') ?? headers.get('grpc-message') ?? '';
    return decided(`grpc-status ${code === '' ? 'missing' : code}${words === '' ? '' : ` ${words}`}`);
  }
  const state = stateOf(body);
  if (state === SERVING) return WELL;
  return decided(state === null ? 'its answer is no HealthCheckResponse' : (STATES[state] ?? `state ${state}`));
}

/** Reads the state, the only field of one `HealthCheckResponse`; null for other bytes. */
function stateOf(body: Buffer): number | null {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) return null;
  const message = body.subarray(5);
  if (message.length === 0) return 0;
  return message.length === 2 && message[0] === 0x08 ? (message[1] ?? null) : null;
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}

/** A configured user agent replaces Envoy's. */
function withAgent(headers: readonly string[]): readonly string[] {
  const isWritten = headers.some((name, i) => i % 2 === 0 && name === 'user-agent');
  return isWritten ? headers : ['user-agent', USER_AGENT, ...headers];
}

function counted(finding: string): ProbeResult {
  return { finding, decides: false };
}

function decided(finding: string): ProbeResult {
  return { finding, decides: true };
}
