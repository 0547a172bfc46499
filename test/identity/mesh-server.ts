/**
 * One mesh's TLS server as traffic runs it, fed with sockets whose first bytes were read and put
 * back, and its clients.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer as createTlsServer } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import type { MeshCredentials } from '../../src/model/credentials.ts';
import { hashOf } from '../../src/model/hash-of.ts';
import { meshName } from '../../src/model/names.ts';
import { issueEgressIdentity } from '../../src/identity/issue.ts';
import { createGate } from '../../src/identity/gate.ts';
import { meshServerOptions } from '../../src/identity/server-context.ts';
import type { Verification } from '../../src/model/client.ts';

export const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

export type Outcome =
  | { readonly kind: 'judged'; readonly verification: Verification; readonly protocol: string | null; readonly resumed: boolean }
  | { readonly kind: 'no-handshake'; readonly code: string };

export interface MeshServer {
  readonly port: number;
  /**
   * Returns the server's judgement of a client with these options; `use` has the client after its
   * handshake, before it closes.
   */
  meet(
    options: ConnectionOptions,
    more?: { readonly nowMs?: number; readonly use?: (client: TLSSocket) => Promise<void> },
  ): Promise<Outcome>;
  close(): Promise<void>;
}

export async function credentialsFor(
  mesh: string,
  ca: { readonly cert: string; readonly key: string },
  more: { readonly trust?: string; readonly chain?: string } = {},
): Promise<MeshCredentials> {
  const identity = await issueEgressIdentity({ mesh, caCert: ca.cert, caKey: ca.key, lifetimeMs: 3_600_000, nowMs: Date.now() });
  const trust = more.trust ?? ca.cert;
  const { cert, key, notBefore, notAfter } = identity;
  return { mesh: meshName(mesh), trust, generation: hashOf(trust), cert: cert + (more.chain ?? ''), key, notBefore, notAfter };
}

export async function startMeshServer(credentials: MeshCredentials): Promise<MeshServer> {
  const tlsServer = createTlsServer(meshServerOptions(credentials));
  const gate = createGate();
  const waiting: ((outcome: Outcome) => void)[] = [];
  let nowMs = Date.now();
  tlsServer.on('secureConnection', (socket) => {
    socket.on('error', ignore);
    const error: unknown = socket.authorizationError;
    const verification = gate(credentials.mesh, {
      certificate: socket.getPeerX509Certificate(),
      authorized: socket.authorized,
      authorizationError: typeof error === 'string' ? error : ((error as { code?: string } | null)?.code ?? null),
      nowMs,
    });
    waiting.shift()?.({ kind: 'judged', verification, protocol: socket.getProtocol(), resumed: socket.isSessionReused() });
    socket.on('end', () => socket.end());
    socket.resume();
  });
  tlsServer.on('tlsClientError', (error: Error & { code?: string }) => {
    waiting.shift()?.({ kind: 'no-handshake', code: error.code ?? error.message });
  });
  const sockets = new Set<Socket>();
  const listener = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', ignore);
    socket.once('data', (bytes) => {
      socket.pause();
      socket.unshift(bytes);
      tlsServer.emit('connection', socket);
    });
  });
  await once(listener.listen(0, '127.0.0.1'), 'listening');
  const { port } = listener.address() as AddressInfo;

  return {
    port,
    async meet(options, more = {}) {
      nowMs = more.nowMs ?? Date.now();
      const outcome = new Promise<Outcome>((resolve) => waiting.push(resolve));
      const client = connect({ host: '127.0.0.1', port, servername: 'api', rejectUnauthorized: false, ...options });
      client.on('error', ignore);
      const secure = new Promise((resolve) => client.once('secureConnect', resolve));
      const closed = new Promise((resolve) => client.once('close', resolve));
      client.resume();
      const result = await outcome;
      if (result.kind === 'judged') {
        await secure;
        await more.use?.(client);
      }
      client.end();
      await closed;
      return result;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

function ignore(): void {}
