// Commands ask a port where anything may answer: another program, or one that means harm.
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { readControlPlaneApi } from '../../src/cli/control-plane-api.ts';
import { startRaw } from '../raw-server.ts';
import { runCommand } from './running.ts';

const ASKING = [
  ['sessions', '--admin'],
  ['decisions', '--admin'],
  ['alarms', '--admin'],
  ['top', '--once', '--interval', '100ms', '--admin'],
  ['decisions', '--follow', '--admin'],
  ['explain', '--sni', 'x', '--admin'],
  ['probe', 'x', '--admin'],
  ['migrate', '--admin'],
  ['migrate', '--cp-api'],
] as const;

async function answering(t: Test, answer: string): Promise<string> {
  return `http://127.0.0.1:${await startRaw(t, (socket) => void socket.once('data', () => socket.end(answer)))}`;
}

const page = (status: number, body: string): string =>
  `HTTP/1.1 ${status} X\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;

t.test('an answer that changes the protocol ends each command with a sentence', async (t) => {
  const url = await answering(t, 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
  for (const args of ASKING)
    t.match(await runCommand(...args, url), { code: 69, err: /the answer has status 101, which changes the protocol\n$/ });
});

t.test('no answer, nor what an answer quotes, gives orders to a terminal', async (t) => {
  const order = '\x1b[2J\x9b31m\u202e';
  const refusing = await answering(t, page(400, order));
  for (const args of ASKING) {
    const { code, err } = await runCommand(...args, refusing);
    t.not(code, 0);
    t.notMatch(err, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/, args.join(' '));
  }
  const text = await answering(t, page(200, `ID\n${order}\n`));
  t.equal((await runCommand('sessions', '--admin', text)).out, 'ID\n\\x1b[2J\\x9b31m\\u{202e}\n');
  const record = { id: order, reason: 'x', startedAt: 0, bytesUp: 1, bytesDown: 1, totalMs: 1 };
  const lines = await answering(t, page(200, `${JSON.stringify(record)}\n`));
  for (const follow of [[], ['--follow']]) {
    const { out } = await runCommand('decisions', ...follow, '-o', 'json', '--admin', lines);
    t.match(out, '"id":"\\u001b[2J\\u009b31m\\u202e"');
    t.same(JSON.parse(out), record);
  }
});

t.test('an egress without the page of a probe is older than the command', async (t) => {
  const url = await answering(t, page(405, 'only GET and HEAD'));
  t.match(await runCommand('probe', 'x', '--admin', url), {
    code: 69,
    err: /: 405: only GET and HEAD: it is older than this command, or no zone egress; probe --resources DIR dials from here\n$/,
  });
});

t.test('an answer to a probe gives no orders to a terminal, and nothing unread counts as good', async (t) => {
  const order = '\x1b[2J\x9b31m\u202e\n';
  const finding = { kind: order, says: order, write: order };
  const endpoint = { endpoint: order, address: order, tls: order, validTo: order, finding };
  const url = await answering(t, page(200, JSON.stringify({ version: 1, destination: order, endpoints: [endpoint, null] })));
  for (const form of ['text', 'json']) {
    const { code, out, err } = await runCommand('probe', 'x', '-o', form, '--admin', url);
    t.match({ code, err }, { code: 3, err: '' });
    t.notMatch(out, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
  }
  for (const body of ['{}', '[]', 'x', '{"version":2,"endpoints":[]}'])
    t.match(await runCommand('probe', 'x', '--admin', await answering(t, page(200, body))), {
      code: 69,
      err: /the answer is not from a zone egress of this version/,
    });
  const none = await answering(t, page(200, '{"version":1,"endpoints":[{}]}'));
  t.match(await runCommand('probe', 'x', '--admin', none), { code: 3, out: /tls-failed/ });
});

t.test('a record with a time that is none is printed', async (t) => {
  const url = await answering(t, page(200, '{"id":"1","reason":"x","startedAt":1e99}\n'));
  for (const follow of [[], ['--follow']]) {
    const { out, err } = await runCommand('decisions', ...follow, '--admin', url);
    t.match(out, /^at no time 1 x: /);
    t.notMatch(err, 'internal error');
  }
});

t.test('the lists of a control plane end, whatever it says', async (t) => {
  const body = page(200, JSON.stringify({ items: [{ text: 'x'.repeat(1_000) }], next: 'http://x/y?offset=1' }));
  const url = new URL(`${await answering(t, body)}/`);
  const access = { url, caCert: null, client: null, skipVerify: false, token: null };
  await t.rejects(
    readControlPlaneApi(access, systemClock(), 10_000),
    /GET meshes: all resources together are larger than 10000 bytes/,
  );
});
