import type { Clock } from '../../base/clock.ts';
import type { AdminListener } from '../../model/admin-listener.ts';
import type { ContentHash } from '../../model/names.ts';
import type { AdminChanges } from '../changes/changes.ts';
import type { EnvoyFacts } from './facts.ts';
import { createEnvoyListener } from './listener.ts';
import type { EnvoyAccess, EnvoyListener } from './listener.ts';
import { envoyPages } from './pages.ts';

export interface EnvoyAdminOptions {
  readonly clock: Clock;
  readonly facts: EnvoyFacts;
  /** Absent takes no changes. */
  readonly changes?: AdminChanges;
  readonly fault: (error: unknown) => void;
}

/** Serves a control plane's view of this egress at the address that the control plane names. */
export interface EnvoyAdmin {
  /** The bound address; null while none is. */
  readonly at: { readonly address: string; readonly port: number } | null;
  /**
   * Listens as the control plane wants: null closes, another address moves, other certificates
   * apply to the next connections. `secret` returns PEM texts by their hash. Calls run one after
   * another. It rejects where the address cannot be bound or the certificate cannot be used; the
   * previous listener then stays, unless it had the same port.
   */
  follow(wanted: AdminListener | null, secret: (hash: ContentHash) => string | undefined): Promise<void>;
  close(): Promise<void>;
}

export function createEnvoyAdmin(options: EnvoyAdminOptions): EnvoyAdmin {
  const page = envoyPages(options.facts);
  let listener: EnvoyListener | null = null;
  let live: AdminListener | null = null;
  let last: Promise<void> = Promise.resolve();
  let closed = false;

  async function apply(wanted: AdminListener | null, access: EnvoyAccess | null): Promise<void> {
    if (closed) return;
    const before = listener;
    if (wanted === null || access === null) {
      listener = live = null;
      await before?.close();
      return;
    }
    if (before !== null && live?.address === wanted.address && live.port === wanted.port) {
      if (!sameAccess(live, wanted)) before.allow(access);
      live = wanted;
      return;
    }
    // Two listeners cannot share a port when one of them takes every address.
    if (live?.port === wanted.port) {
      listener = live = null;
      await before?.close();
    }
    const next = await createEnvoyListener({ ...options, address: wanted.address, port: wanted.port, page });
    try {
      next.allow(access);
    } catch (error) {
      await next.close();
      throw error;
    }
    listener = next;
    live = wanted;
    await before?.close();
  }

  return {
    get at() {
      return listener === null ? null : { address: listener.address, port: listener.port };
    },
    follow(wanted, secret) {
      const access = wanted === null ? null : accessOf(wanted, secret);
      const done = last.then(() => apply(wanted, access));
      last = done.catch(() => {});
      return done;
    },
    async close() {
      await last;
      closed = true;
      await listener?.close();
      listener = null;
    },
  };
}

function accessOf({ plaintextPaths, tls }: AdminListener, secret: (hash: ContentHash) => string | undefined): EnvoyAccess {
  if (tls === null) return { plaintextPaths, tls: null };
  const [cert, key, clientCa] = [secret(tls.cert), secret(tls.key), secret(tls.clientCa)];
  const isWhole = cert !== undefined && key !== undefined && clientCa !== undefined;
  return { plaintextPaths, tls: isWhole ? { cert, key, clientCa, clientName: tls.clientName } : null };
}

function sameAccess(a: AdminListener, b: AdminListener): boolean {
  return JSON.stringify([a.plaintextPaths, a.tls]) === JSON.stringify([b.plaintextPaths, b.tls]);
}
