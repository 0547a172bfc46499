/**
 * Connects to endpoints for an explanation, with the code of a session: TCP, TLS where the endpoint
 * has it, and a moment in which a server of TLS 1.3 may refuse.
 */
import type { Clock } from '../base/clock.ts';
import { Refused, refuse } from '../base/refusal.ts';
import type { ProbeView } from '../explain/trace.ts';
import { systemTrust } from '../identity/system-trust.ts';
import { checkServerName } from '../identity/upstream-name.ts';
import type { Cluster } from '../model/cluster.ts';
import { addressKey } from '../model/endpoint-view.ts';
import type { Target } from '../routing/choose.ts';
import { BufferPool } from '../traffic/buffers.ts';
import { MAX_ATTEMPTS, connectEndpoint, refusedAfterHandshake } from '../traffic/connect.ts';
import { Origination } from '../traffic/originate.ts';
import type { Leg } from '../traffic/leg.ts';
import { SessionSteps } from '../traffic/session-steps.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface Prober {
  /**
   * Dials at most as many targets as a session tries, all at once. Null while the maximum of
   * questions is being answered.
   */
  probe(cluster: Cluster, targets: readonly Target[]): Promise<readonly ProbeView[] | null>;
  /** Ends running attempts. */
  close(): void;
}

/**
 * The most questions at a time: a reader of the admin pages must not be able to flood a service
 * through the egress.
 */
const AT_A_TIME = 2;
/** A question is answered within this time, however long the sessions of the cluster would wait. */
const LONGEST_MS = 15_000;
/**
 * In TLS 1.3 a server's refusal of our certificate comes after the handshake: it is awaited for
 * this long, or for twice the time of connecting.
 */
const ALERT_MS = 500;

export function createProber({ clock, workers }: { readonly clock: Clock; readonly workers: WorkerPool }): Prober {
  const pool = new BufferPool();
  const origination = new Origination({ secret: (hash) => workers.secret(hash), systemTrust, checkServerName });
  const asking = new Set<SessionSteps>();
  let asked = 0;

  async function one(cluster: Cluster, target: Target): Promise<ProbeView> {
    const endpoint = addressKey(target.ip, target.endpoint.port);
    const startedAt = clock.now();
    const ms = (): number => Math.round(clock.now() - startedAt);
    const steps = new SessionSteps();
    asking.add(steps);
    try {
      const leg = await connectEndpoint(steps, [target], {
        clock,
        pool,
        origination,
        timeoutMs: Math.min(cluster.connectTimeoutMs, LONGEST_MS),
        unref: true,
        // A few at a time, by its own limit.
        maxDescriptors: 0,
        onAttempt: () => undefined,
        onOutcome: () => undefined,
      });
      const took = ms();
      try {
        if (leg.tls) await unlessRefused(steps, leg, clock, took);
      } finally {
        leg.reset();
        leg.reader?.close();
      }
      return { endpoint, outcome: 'connected', detail: leg.tls ? 'connected, and TLS is set up' : 'connected', ms: took };
    } catch (error) {
      const { code, detail } = error instanceof Refused ? error.refusal : refuse('internal-error', String(error));
      return { endpoint, outcome: code, detail, ms: ms() };
    } finally {
      asking.delete(steps);
    }
  }

  return {
    async probe(cluster, targets) {
      if (asked >= AT_A_TIME) return null;
      asked++;
      try {
        return await Promise.all(targets.slice(0, MAX_ATTEMPTS).map((target) => one(cluster, target)));
      } finally {
        asked--;
      }
    },
    close() {
      for (const steps of asking) steps.end(refuse('drained', 'the egress was shut down'));
    },
  };
}

/**
 * Resolves at the first byte, at the end, or when a refusal would have come; rejects with the
 * refusal.
 */
function unlessRefused(steps: SessionSteps, { socket }: Leg, clock: Clock, connectMs: number): Promise<void> {
  return steps.step<void>((done, fail) => {
    const timer = clock.after(Math.max(ALERT_MS, 2 * connectMs), () => done());
    const onData = (): void => done();
    const onError = (error: Error): void => {
      const refusal = refusedAfterHandshake(error);
      if (refusal === null) done();
      else fail(new Refused(refusal));
    };
    const onClose = (): void => done();
    socket.on('data', onData);
    socket.on('error', onError);
    socket.on('close', onClose);
    socket.resume();
    return () => {
      timer.cancel();
      socket.pause();
      socket.removeListener('data', onData);
      socket.removeListener('error', onError);
      socket.removeListener('close', onClose);
    };
  });
}
