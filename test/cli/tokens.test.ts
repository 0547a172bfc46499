// Tokens: made and read as a control plane of Kuma makes and reads them.
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { Test } from 'tap';
import { checkedToken } from '../../src/cli/token.ts';
import { tokenReport } from '../../src/cli/token-report.ts';
import { zoneToken } from '../../src/identity/proxy-token.ts';
import { createZoneTokens } from '../../src/testing/control-plane/zone-tokens.ts';
import { runCommand } from './running.ts';

const RECORDED = new URL('../data/tokens/', import.meta.url);

function folder(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'zone-egress-tokens-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** A folder with a signing key in it, as the command makes it. */
async function keyFile(t: Test, format = 'pem'): Promise<string> {
  const made = await runCommand('generate', 'signing-key', '--format', format);
  t.equal(made.code, 0);
  const file = join(folder(t), 'key');
  writeFileSync(file, made.out);
  return file;
}

function parts(token: string): readonly string[] {
  return token.split('.').map((part) => Buffer.from(part, 'base64url').toString('utf8'));
}

function recorded(name: string): string {
  return readFileSync(new URL(name, RECORDED), 'utf8').trim();
}

t.test('header and claims of a zone token have the bytes of one that Kuma made', async (t) => {
  const [header = '', claims = ''] = parts(recorded('zone-1-egress.jwt'));
  const key = await keyFile(t);
  const { out } = await runCommand(
    ...['generate', 'zone-token', '--zone', 'zone-1', '--valid-for', '720h', '--signing-key-path', key, '--kid', '1'],
  );
  const [ourHeader = '', ourClaims = ''] = parts(out);
  t.equal(ourHeader, header);
  const variable = /"(exp|nbf|iat)":\d+|"jti":"[0-9a-f-]{36}"/g;
  t.equal(ourClaims.replace(variable, '$1'), claims.replace(variable, '$1'));
  const { exp, nbf, iat } = JSON.parse(ourClaims) as Record<'exp' | 'nbf' | 'iat', number>;
  const theirs = JSON.parse(claims) as Record<'exp' | 'nbf' | 'iat', number>;
  t.strictSame([exp - nbf, iat - nbf], [theirs.exp - theirs.nbf, theirs.iat - theirs.nbf], 'five seconds back, as Kuma dates it');
});

t.test('a dataplane token has the claims of one that Kuma made, in their order', async (t) => {
  const key = await keyFile(t);
  const make = async (...more: readonly string[]): Promise<string> => {
    const fixed = ['--mesh', 'mesh-b', '--valid-for', '1h', '--signing-key-path', key, '--kid', '7'];
    return parts((await runCommand('generate', 'dataplane-token', ...fixed, ...more)).out)[1] ?? '';
  };
  // As kuma-dp sent it in kuma-cp-live/mesh-scoped/bootstrap/kuma-dp.request.http.
  t.match(
    await make('--workload', 'egress-b'),
    /^\{"Name":"","Mesh":"mesh-b","Tags":\{\},"Type":"","Workload":"egress-b","exp":\d+,"nbf":\d+,"iat":\d+,"jti":"[^"]+"\}$/,
  );
  t.match(
    await make('--name', 'egress', '--proxy-type', 'dataplane', '--tag', 'z=1,2', '--tag', 'kuma.io/service=web'),
    /^\{"Name":"egress","Mesh":"mesh-b","Tags":\{"kuma.io\/service":\["web"\],"z":\["1","2"\]\},"Type":"dataplane","Workload":"",/,
  );
});

t.test('the signing key is one that Kuma reads, in both formats, and its public key verifies the token', async (t) => {
  for (const format of ['pem', 'pem-base64']) {
    const key = await keyFile(t, format);
    const text = readFileSync(key, 'utf8');
    const pem = format === 'pem' ? text : Buffer.from(text, 'base64').toString('utf8');
    t.match(pem, /^-----BEGIN RSA PRIVATE KEY-----\n[^]+\n-----END RSA PRIVATE KEY-----\n$/, format);
    const publicKey = await runCommand('generate', 'public-key', '--signing-key-path', key);
    t.match(publicKey.out, /^-----BEGIN RSA PUBLIC KEY-----\n/);
    t.equal(createPublicKey(publicKey.out).asymmetricKeyDetails?.modulusLength, 2_048);
    const dir = folder(t);
    const options = ['--valid-for', '1h', '--signing-key-path', key, '--kid', '1'];
    writeFileSync(join(dir, 'token'), (await runCommand('generate', 'zone-token', '--zone', 'east', ...options)).out);
    writeFileSync(join(dir, 'public'), publicKey.out);
    const good = await runCommand('token', 'inspect', join(dir, 'token'), '--public-key-path', join(dir, 'public'));
    t.equal(good.code, 0, good.err);
    t.match(
      good.out,
      /^token +zone token for the zone east, scope egress\n[^]*\nvalid until .* \(in \d+ minutes\)\n[^]*\nsignature +good\n$/,
    );
    const other = await keyFile(t);
    const wrong = await runCommand('token', 'inspect', join(dir, 'token'), '--public-key-path', other);
    t.equal(wrong.code, 78);
    t.match(wrong.out, /\nsignature +wrong\nrefused +another key has signed it\n$/);
  }
});

t.test('a control plane that keeps Kuma’s rules takes the token, and refuses one of another scope or zone', async (t) => {
  const tokens = await createZoneTokens({ zone: 'east', wall: () => Date.now() });
  t.equal(tokens.refusal(tokens.issue()), null);
  t.match(tokens.refusal(tokens.issue({ scope: ['ingress'] })), /egress is out of token's scope: \[ingress\]/);
  t.match(tokens.refusal(tokens.issue({ zone: 'west' })), /zone from requestor: east is different than in token: west/);
});

t.test('no name in a token moves a cursor or turns the writing', (t) => {
  const bad = 'a\u001b[31m\u009b2J\u007f\u202ez';
  const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const report = (claims: object) =>
    tokenReport(checkedToken(`${segment({ alg: bad, kid: bad })}.${segment(claims)}.AA`), { nowMs: 0, isSigned: null });
  for (const claims of [
    { Zone: bad, Scope: [bad], jti: bad },
    { Mesh: bad, Name: bad, Type: bad, Tags: { [bad]: [bad] }, jti: bad },
    { [bad]: bad },
  ]) {
    const { what, lines, problems } = report(claims);
    for (const text of [what, ...lines.flat(), ...problems]) t.notMatch(text, /[\p{Cc}\p{Cf}]/u, JSON.stringify(text));
    t.match(what, /\\x9b2J.*\\u\{202e\}z/);
  }
  t.end();
});

t.test('what Kuma made is read: who it is for, until when, and what is refused of it', (t) => {
  const during = 1_795_500_000_000;
  const report = (name: string, nowMs = during) => tokenReport(checkedToken(recorded(name)), { nowMs, isSigned: null });
  t.match(report('zone-1-egress.jwt'), {
    kind: 'zone',
    what: 'zone token for the zone zone-1, scope egress',
    problems: [],
    signature: 'unchecked',
  });
  t.strictSame(report('zone-1-ingress.jwt').problems, ['an egress is out of its scope: ingress']);
  t.strictSame(report('zone-1-both.jwt').problems, []);
  t.strictSame(report('zone-2-egress.jwt', 1_798_013_905_000).problems, ['it has expired']);
  t.match(report('zone-2-egress.jwt', 1_795_000_000_000).problems, [/^it is not valid yet/]);
  t.end();
});

t.test('tokens that are none of an egress, and odd claims, get a sentence each', async (t) => {
  const token = (header: object, claims: unknown): string =>
    [header, claims, {}].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.');
  const rs = { alg: 'RS256', kid: '1' };
  const problems = (header: object, claims: unknown) => tokenReport(token(header, claims), { nowMs: 0, isSigned: null }).problems;
  t.match(problems(rs, { Name: 'admin', Groups: ['mesh-system:admin'] }), [/^an egress joins with a zone token/]);
  t.match(problems({ alg: 'HS256', kid: '1' }, { Zone: 'a', Scope: ['egress'] }), [/accepts RS256, this one has HS256/]);
  t.match(problems({ alg: 'RS256', kid: 1 }, { Zone: 'a', Scope: ['egress'] }), [/names no key \(kid\)/]);
  t.match(problems(rs, { Name: '', Mesh: '', Tags: {} }), [/names no mesh/]);
  for (const odd of [
    null,
    [],
    7,
    'text',
    { Zone: { a: 1 }, Scope: 'egress' },
    { Mesh: ['\u001b[31m'], Tags: [null], exp: 1e300, nbf: '5' },
  ]) {
    const { what, lines } = tokenReport(token(rs, odd), { nowMs: 0, isSigned: null });
    t.notMatch([what, ...lines.flat()].join(''), /[\u0000-\u001f]|\[object/, JSON.stringify(odd));
  }
});

t.test('JSON holds header, claims and problems, and not the signature', async (t) => {
  const file = join(folder(t), 'token');
  const token = recorded('zone-1-ingress.jwt');
  writeFileSync(file, `  ${token}\n`);
  const { code, out } = await runCommand('token', 'inspect', file, '-o', 'json');
  t.equal(code, 78);
  t.match(JSON.parse(out), { kind: 'zone', header: { kid: '1' }, claims: { Zone: 'zone-1' } });
  t.notMatch(out, token.split('.')[2] ?? 'none');
});

t.test('missing and wrong arguments are reported, and no part of a key is printed', async (t) => {
  const key = await keyFile(t);
  const dir = folder(t);
  const signing = ['--signing-key-path', key, '--kid', '1'];
  const zone = ['generate', 'zone-token', '--zone', 'a'];
  for (const [words, message] of [
    [['generate', 'zone-token', '--valid-for', '1h', ...signing], /^generate zone-token needs --zone [A-Z]+: /],
    [[...zone, ...signing], /^generate zone-token needs --valid-for [A-Z]+: /],
    [[...zone, '--valid-for', '1h', '--kid', '1'], /needs --signing-key-path [A-Z]+: /],
    [[...zone, '--valid-for', '1h', '--signing-key-path', key], /needs --kid [A-Z]+: /],
    [[...zone, '--valid-for', '0s', ...signing], /^--valid-for 0s: allowed is a second or more$/],
    [[...zone, '--valid-for', '30d', ...signing], /^--valid-for "30d": allowed is a duration such as/],
    [[...zone, '--valid-for', '1h', '--scope', 'cp', ...signing], /^--scope "cp": allowed are egress and ingress$/],
    [[...zone, '--valid-for', '1h', ...signing, 'more'], /^generate zone-token takes options only, got "more"$/],
    [['generate', 'dataplane-token', '--valid-for', '1h', '--tag', 'a=', ...signing], /^--tag "a=": allowed is KEY=VALUE$/],
    [['generate', 'dataplane-token', '--valid-for', '1h', '--proxy-type', 'x', ...signing], /^--proxy-type "x": allowed are/],
    [['generate', 'signing-key', '--format', 'der'], /^--format "der": allowed are pem and pem-base64$/],
    [['generate', 'public-key'], /^generate public-key needs --signing-key-path [A-Z]+: /],
    [['token', 'inspect'], /^token inspect needs the file/],
    [['token'], /^token: allowed are inspect$/],
  ] as const) {
    const { code, err } = await runCommand(...words);
    t.strictSame(code, 64, words.join(' '));
    t.match(err, message);
  }
  const bad = join(dir, 'bad');
  const secret = readFileSync(key, 'utf8').split('\n')[5]!;
  for (const text of ['', 'no key', secret, `-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----\n`]) {
    writeFileSync(bad, text);
    for (const words of [
      [...zone, '--valid-for', '1h', '--signing-key-path', bad, '--kid', '1'],
      ['generate', 'public-key', '--signing-key-path', bad],
      ['token', 'inspect', bad],
    ]) {
      const { code, out, err } = await runCommand(...words);
      t.strictSame([code, out], [78, ''], words.join(' '));
      t.notMatch(err, secret);
    }
  }
  const missing = await runCommand('token', 'inspect', join(dir, 'absent'));
  t.strictSame(missing.code, 66);
  t.match(missing.err, /^zone-egress: read .*absent: there is no such file \(ENOENT\)\n$/);
});

t.test('a token is signed with the key that is given', async (t) => {
  const { generateKeyPairSync } = await import('node:crypto');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  const token = zoneToken({ zone: '', scope: ['egress'] }, { expiresAt: 10, notBefore: 5 }, { key: privateKey, kid: 'a' });
  t.match(tokenReport(token, { nowMs: 6_000, isSigned: true }), {
    what: 'zone token for any zone, scope egress',
    signature: 'good',
    problems: [],
  });
});

t.test('each command of docs/tokens.md runs, in its order', async (t) => {
  const dir = folder(t);
  const page = readFileSync(new URL('../../docs/tokens.md', import.meta.url), 'utf8');
  const lines = [...page.matchAll(/```sh\n([^`]+)```/g)].flatMap(([, block = '']) => block.trim().split('\n'));
  t.equal(lines.length, 6);
  const inFolder = (word: string): string => (/^(key|token)\b/.test(word) ? join(dir, word) : word);
  for (const line of lines) {
    const [command = '', target = null] = line.split(' > ');
    const [, first = '', second = '', ...rest] = command.split(' ');
    const { code, out, err } = await runCommand(first, second, ...rest.map(inFolder));
    t.strictSame([code, err], [0, ''], line);
    if (target === null) t.match(out, /zone token for the zone east|"kind": "dataplane"/);
    else writeFileSync(join(dir, target), out);
  }
});
