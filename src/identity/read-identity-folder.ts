import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../base/problem.ts';
import { errorCode } from '../base/error-code.ts';
import type { MeshCredentials } from '../model/credentials.ts';
import type { MeshName } from '../model/names.ts';
import { readCertificate } from './der.ts';
import { egressId } from './egress-id.ts';
import { expiryOf, identityProblem, makeCredentials } from './mesh-credentials.ts';
import { readBundle, readPrivateKey, readTrust } from './pem.ts';

export type FolderRead =
  | { readonly kind: 'good'; readonly credentials: MeshCredentials; readonly notBefore: number; readonly fingerprint: string }
  | { readonly kind: 'bad'; readonly problems: readonly Problem[]; readonly fingerprint: string };

const FILES = ['tls.crt', 'tls.key', 'ca.crt'] as const;
type FileName = (typeof FILES)[number];

const MAX_BYTES = 1_048_576;
/** The most reads of a folder that changes while it is read. */
const MAX_READS = 3;

/**
 * Reads `tls.crt`, `tls.key` and `ca.crt` of one mesh, as cert-manager and Kubernetes mount them,
 * and checks them as a set: it takes none when one is missing, is empty or does not fit the others.
 * `fingerprint` is of the files that were read.
 */
export async function readIdentityFolder(mesh: MeshName, path: string, nowMs: number): Promise<FolderRead> {
  for (let reads = 1; ; reads++) {
    const fingerprint = await folderFingerprint(path);
    const read = await readOnce(mesh, path, nowMs);
    const moved = (await folderFingerprint(path)) !== fingerprint;
    if (!moved || reads === MAX_READS) return { ...read, fingerprint };
  }
}

/**
 * Returns a text that changes whenever a file is written or replaced, or its mode or link changes.
 */
export async function folderFingerprint(path: string): Promise<string> {
  const parts = await Promise.all(FILES.map((file) => fileFingerprint(join(path, file))));
  return parts.join('|');
}

async function fileFingerprint(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    return codeOf(error);
  }
}

async function readOnce(mesh: MeshName, folder: string, nowMs: number): Promise<Read> {
  const texts = new Map<FileName, string>();
  const problems: Problem[] = [];
  for (const file of FILES) {
    const path = join(folder, file);
    const text = await readText(path);
    if (text.kind === 'text') texts.set(file, text.text);
    else problems.push(identityProblem(path, text.why));
  }
  return problems.length > 0 ? bad(problems) : check(mesh, folder, texts, nowMs);
}

type Read =
  | { readonly kind: 'good'; readonly credentials: MeshCredentials; readonly notBefore: number }
  | { readonly kind: 'bad'; readonly problems: readonly Problem[] };

function check(mesh: MeshName, folder: string, texts: ReadonlyMap<FileName, string>, nowMs: number): Read {
  const path = (file: FileName): string => join(folder, file);
  const chain = readBundle(texts.get('tls.crt') ?? '');
  const key = readPrivateKey(texts.get('tls.key') ?? '');
  const trust = readTrust(texts.get('ca.crt') ?? '', nowMs);
  const problems: Problem[] = [];
  if (chain.kind === 'bad') problems.push(identityProblem(path('tls.crt'), chain.why));
  if (key === null)
    problems.push(identityProblem(path('tls.key'), 'there is no private key in it that can be read without a passphrase'));
  if (trust.kind === 'bad') problems.push(identityProblem(path('ca.crt'), trust.why));
  if (chain.kind === 'bad' || key === null || trust.kind === 'bad') return bad(problems);

  const [leaf] = chain.certificates;
  if (leaf === undefined) return bad([identityProblem(path('tls.crt'), 'there is no certificate in it')]);
  const certificate = readCertificate(leaf.raw);
  if (certificate.kind === 'unreadable') return bad([identityProblem(path('tls.crt'), certificate.why)]);
  const { notBefore, altNames } = certificate.certificate;
  const notAfter = expiryOf(leaf);
  const uris = altNames.filter(({ kind }) => kind === 'uri').map(({ bytes }) => bytes.toString('latin1'));
  const wanted = egressId(mesh);
  const complaint = !uris.includes(wanted)
    ? `the first certificate has no URI name ${wanted}, which every client of mesh ${mesh} asks for`
    : nowMs >= notAfter
      ? `the certificate expired ${new Date(notAfter).toISOString()}`
      : nowMs < notBefore
        ? `the certificate is valid from ${new Date(notBefore).toISOString()}`
        : !leaf.checkPrivateKey(key)
          ? 'the first certificate does not belong to the key in tls.key'
          : null;
  if (complaint !== null) return bad([identityProblem(path('tls.crt'), complaint)]);
  const made = makeCredentials({
    mesh,
    file: path('tls.crt'),
    trust: trust.pem,
    cert: chain.pem,
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    notBefore,
    notAfter,
  });
  return made.kind === 'made' ? { kind: 'good', credentials: made.credentials, notBefore } : made;
}

function bad(problems: readonly Problem[]): Read {
  return { kind: 'bad', problems };
}

type Text = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'unreadable'; readonly why: string };

async function readText(path: string): Promise<Text> {
  let file: FileHandle | null = null;
  try {
    // O_NONBLOCK: opening a pipe in place of a file would block one of the few threads that read
    // files.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) return { kind: 'unreadable', why: 'it is not a file' };
    if (stats.size > MAX_BYTES) return { kind: 'unreadable', why: `it has ${stats.size} bytes (limit ${MAX_BYTES})` };
    const text = await file.readFile('utf8');
    return text.trim() === '' ? { kind: 'unreadable', why: 'it is empty' } : { kind: 'text', text };
  } catch (error) {
    const code = codeOf(error);
    return { kind: 'unreadable', why: code === 'ENOENT' ? 'there is no such file' : `it cannot be read: ${code}` };
  } finally {
    await file?.close();
  }
}

function codeOf(error: unknown): string {
  return errorCode(error) || 'unknown error';
}
