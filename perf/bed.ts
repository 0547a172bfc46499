// The common ground of all contenders of a run: a folder with two meshes (`default` has RSA-2048
// keys, as Kuma gives them, `ec` P-256), and the far end, a process of its own.
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTestMesh } from '../src/testing/egress/test-mesh.ts';
import type { TestMesh } from '../src/testing/egress/test-mesh.ts';
import { startGenerator } from './generator.ts';
import { startHttpService } from './http-service.ts';
import type { HttpService } from './http-service.ts';

/** The work on the bytes: none, TLS that ends here, or TLS that ends and begins anew. */
export type Work = 'passthrough' | 'terminated' | 're-encrypted';
export const WORKS: readonly Work[] = ['passthrough', 'terminated', 're-encrypted'];
/** Requests of a service that speaks this are carried one by one. */
export type HttpWork = 'http1' | 'http2';
export type MeshName = 'default' | 'ec';

export interface Bed {
  /**
   * `<mesh>-{ca,client,server}.pem`, `far.pem`, `far-ca.pem`; a `.pem` with a key has it after the
   * certificate, and again in a `.key`.
   */
  readonly folder: string;
  /** Kuma resources of both meshes. */
  readonly meshes: string;
  readonly farCa: string;
  readonly plain: number;
  readonly tls: number;
  readonly farPid: number;
  /** Null where there is none. */
  readonly http: HttpService | null;
  close(): Promise<void>;
}

export interface FarEndOptions {
  readonly port?: number | undefined;
  readonly tlsPort?: number | undefined;
}

export async function makeBed({ port = 0, tlsPort = 0 }: FarEndOptions = {}): Promise<Bed> {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-perf-'));
  const write = (name: string, { cert, key }: { readonly cert: string; readonly key: string }): void => {
    writeFileSync(join(folder, `${name}.pem`), cert.endsWith('\n') ? cert + key : `${cert}\n${key}`);
    writeFileSync(join(folder, `${name}.key`), key);
  };
  const [rsa, ec, partner] = await Promise.all([
    createTestMesh('default', { keyType: 'rsa' }),
    createTestMesh('ec', { keyType: 'ec' }),
    createTestMesh('partner', { keyType: 'ec' }),
  ]);
  for (const [mesh, newKey] of [
    [rsa, () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
    [ec, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
  ] as const) {
    writeFileSync(join(folder, `${mesh.name}-ca.pem`), mesh.ca.cert);
    write(`${mesh.name}-client`, mesh.issue({}, newKey()));
    const uris = [`spiffe://${mesh.name}/zone-egress`, 'kuma://kuma.io/service/zone-egress'];
    write(`${mesh.name}-server`, mesh.issue({ uris }, newKey()));
  }
  writeFileSync(join(folder, 'far-ca.pem'), partner.ca.cert);
  write('far', partner.issue({ uris: [], dns: ['far.test'], subject: [['CN', 'far.test']] }));

  const far = await startGenerator('serve', {
    port,
    'tls-port': tlsPort,
    cert: join(folder, 'far.pem'),
    key: join(folder, 'far.key'),
  });
  const http = await startHttpService();
  return {
    folder,
    meshes: [rsa, ec].map((mesh) => mesh.resources + permission(mesh)).join('---\n'),
    farCa: partner.ca.cert,
    plain: Number(far.ready.plain),
    tls: Number(far.ready.tls),
    farPid: far.pid,
    http,
    async close() {
      await far.stop();
      await http?.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function permission({ name }: TestMesh): string {
  return `---
type: TrafficPermission
mesh: ${name}
name: frontend-${name}
sources: [{ match: { kuma.io/service: frontend } }]
destinations: [{ match: { kuma.io/service: '*' } }]
`;
}
