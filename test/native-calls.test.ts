/**
 * docs/native-calls.md lists every call into Node's TLS and crypto with input of peers; and some
 * calls must not occur at all.
 */
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path/posix';
import { fileURLToPath } from 'node:url';
import { TLSSocket, connect } from 'node:tls';
import t from 'tap';
import { UnderTls } from '../src/traffic/under-tls.ts';
import { gone, startZone } from './egress/zone.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * The native functions of Node: methods and properties of TLSSocket, X509Certificate and KeyObject,
 * and what makes them.
 */
const CALLS =
  /(?<!OID)\.(getPeerCertificate|getPeerX509Certificate|getX509Certificate|getCertificate|getProtocol|getCipher|getSession|getTLSTicket|getFinished|getPeerFinished|getEphemeralKeyInfo|getSharedSigalgs|exportKeyingMaterial|isSessionReused|setServername|setMaxSendFragment|setSession|setKeyCert|renegotiate|enableTrace|toLegacyObject|infoAccess|subjectAltName|issuerCertificate|checkHost|checkEmail|checkIP|checkIssued|checkPrivateKey|publicKey|asymmetricKeyDetails|setContext|addContext|useUserBuffer)\b|(?<![.\w])(createPublicKey|createPrivateKey|createSecureContext|checkServerIdentity|tls\.connect|new X509Certificate|new TLSSocket)\b/g;

/** Calls that may end the process: only these files may make them. */
const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
  getPeerCertificate: ['src/base/connect-tls.ts', 'src/testing/egress/fake-client.ts'],
  toLegacyObject: [],
  getProtocol: ['src/traffic/terminate.ts', 'src/control/tls-probe.ts'],
  getEphemeralKeyInfo: [],
  setServername: [],
  getCipher: ['src/traffic/certificate-alert.ts', 'src/control/tls-probe.ts'],
  getSession: [],
  getTLSTicket: [],
  getFinished: [],
  getPeerFinished: [],
  exportKeyingMaterial: [],
  getSharedSigalgs: [],
  checkServerIdentity: ['src/base/connect-tls.ts'],
  infoAccess: [],
  'new TLSSocket': [],
};

interface Use {
  readonly file: string;
  readonly call: string;
}

function uses(): Use[] {
  const found = new Map<string, Use>();
  for (const { file, text } of sources()) {
    for (const match of codeOf(text).matchAll(CALLS)) {
      const call = match[1] ?? match[2] ?? '';
      found.set(`${file} ${call}`, { file, call });
    }
  }
  return [...found.values()];
}

function sources(): { readonly file: string; readonly text: string }[] {
  return readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ file: path.slice(root.length), text: readFileSync(path, 'utf8') }));
}

/** Returns code without comments, and without quoted texts. */
function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|'(?:[^'\\\n]|\\.)*'/g, ' ');
}

t.test('the page names every call and every file that makes it, and no other', async (t) => {
  const page = readFileSync(join(root, 'docs', 'native-calls.md'), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('| `'));
  const listed = new Set(
    rows.flatMap((row) => {
      const [calls = '', where = ''] = row.split('|').slice(1);
      const names = [...calls.matchAll(/`([^`]+)`/g)].map((match) => match[1]);
      const files = [...where.matchAll(/`([^`]+)`/g)].map((match) => `src/${match[1]}`);
      return files.flatMap((file) => names.map((name) => `${file} ${name}`));
    }),
  );
  const made = new Set(uses().map(({ file, call }) => `${file} ${call}`));
  t.ok(made.size > 20, `${made.size} uses`);
  t.same([...made].filter((use) => !listed.has(use)).sort(), [], 'every use stands on the page');
  t.same([...listed].filter((use) => !made.has(use)).sort(), [], 'what stands on the page is so');
});

t.test('calls that end the process of some Node are made nowhere, or in the one place that guards them', async (t) => {
  // Finds every use of the name, including `const { getProtocol } = socket`.
  const wrong = sources().flatMap(({ file, text }) =>
    Object.entries(ONLY_IN)
      .filter(([call, files]) => !files.includes(file) && new RegExp(`(?<!\\w)${call}\\b`).test(codeOf(text)))
      .map(([call]) => `${file} ${call}`),
  );
  t.same(wrong, []);
});

t.test('a TLS connection is made in the one place that is safe for certificates of others', async (t) => {
  const places = sources()
    .filter(({ text }) => /import (\{[^}]*\bconnect\b[^}]*\}|\w+|\* as \w+) from 'node:tls'/.test(text))
    .map(({ file }) => file)
    .sort();
  t.same(places, ['src/base/connect-tls.ts', 'src/cli/demo.ts', 'src/testing/egress/fake-client.ts']);
});

t.test('what TLS says of a client is asked while its handshake ends, not once it may be gone', async (t) => {
  const late: string[] = [];
  let asked = 0;
  for (const name of ['getProtocol', 'getPeerX509Certificate', 'getCipher'] as const) {
    const original = Object.getOwnPropertyDescriptor(TLSSocket.prototype, name)!;
    const native = original.value as (this: TLSSocket) => never;
    TLSSocket.prototype[name] = function (this: TLSSocket) {
      asked++;
      if (UnderTls.current === null) late.push(name);
      return native.call(this);
    };
    t.teardown(() => Object.defineProperty(TLSSocket.prototype, name, original));
  }
  await using zone = await startZone(t);
  // The probe at the start has a TLS connection of its own.
  asked = 0;
  late.length = 0;
  const client = connect({
    port: zone.egress.port,
    host: '127.0.0.1',
    servername: 'legacy{mesh=default}',
    ...zone.mesh.client('frontend'),
    rejectUnauthorized: false,
  });
  client.on('error', () => {});
  await once(client, 'secureConnect');
  client.end('ping');
  await gone(client);
  const record = await zone.record(({ destination }) => destination === 'legacy');
  t.match(record, { reason: 'closed', tlsVersion: 'TLSv1.3' });
  t.equal(asked, 2, 'once each, and the cipher of a client that is let in is not asked for');
  const refused = connect({
    port: zone.egress.port,
    host: '127.0.0.1',
    servername: 'legacy{mesh=default}',
    ...zone.mesh.badClient('expired'),
    rejectUnauthorized: false,
  });
  refused.on('error', () => {});
  await gone(refused);
  await zone.record(({ reason }) => reason === 'client-not-trusted');
  t.equal(asked, 5, 'all three for one that is refused');
  t.same(late, []);
});
