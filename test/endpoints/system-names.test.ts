import { createSocket } from 'node:dgram';
import { Resolver as DnsClient } from 'node:dns/promises';
import { EventEmitter, once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import t from 'tap';
import type { Test } from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import { createResolver } from '../../src/endpoints/dns.ts';
import type { Family } from '../../src/endpoints/dns-answers.ts';
import { createSystemNames } from '../../src/endpoints/system-names.ts';
import type { SystemNames, SystemNamesOptions } from '../../src/endpoints/system-names.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';

/** A records of a name: addresses and their TTL in seconds. */
interface Records {
  readonly addresses: readonly string[];
  readonly ttl: number;
}
/** `silent` never answers, `empty` has only other records. */
type Zone = Map<string, Records | 'silent' | 'servfail' | 'empty'>;

/** A DNS server over UDP. `asked` lists the questions: name and type. */
async function dnsServer(t: Test, zone: Zone) {
  const socket = createSocket('udp4');
  const asked: string[] = [];
  socket.on('message', (query, from) => {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at]!; length > 0; length = query[at]!) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
    const name = labels.join('.').toLowerCase();
    const type = query.readUInt16BE(at + 1);
    asked.push(`${name} ${type === 1 ? 'A' : 'AAAA'}`);
    const entry = zone.get(name);
    if (entry === 'silent') return;
    const records = typeof entry === 'object' ? entry : { addresses: [], ttl: 0 };
    const fitting = records.addresses.filter((ip) => ip.includes(':') === (type === 28));
    const code = entry === undefined ? 3 : entry === 'servfail' ? 2 : 0;
    const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80 | code, 0, 1, 0, fitting.length, 0, 0, 0, 0]);
    const answers = fitting.map((ip) => {
      const data = type === 1 ? Buffer.from(ip.split('.').map(Number)) : Buffer.from(ip.replaceAll(':', ''), 'hex');
      const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length, ...data]);
      record.writeUInt32BE(records.ttl, 6);
      return record;
    });
    socket.send(Buffer.concat([header, query.subarray(12, at + 5), ...answers]), from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => void socket.close());
  const newClient = (): DnsClient => {
    const client = new DnsClient({ timeout: 60_000, tries: 1 });
    client.setServers([`127.0.0.1:${socket.address().port}`]);
    return client;
  };
  return { asked, newClient };
}

interface Files {
  readonly hosts?: string;
  readonly resolvConf?: string;
  readonly nsswitch?: string;
}

const PLAIN = 'hosts: files dns\n';

async function setUp(
  t: Test,
  zone: Zone,
  { hosts = '', resolvConf = '', nsswitch = PLAIN }: Files = {},
  more: Partial<SystemNamesOptions> = {},
) {
  const folder = t.testdir({ hosts, 'resolv.conf': resolvConf, 'nsswitch.conf': nsswitch });
  const server = await dnsServer(t, zone);
  const clock = new FakeClock();
  const names = createSystemNames({
    clock,
    hosts: `${folder}/hosts`,
    resolvConf: `${folder}/resolv.conf`,
    nsswitch: `${folder}/nsswitch.conf`,
    newClient: server.newClient,
    lastWord: () => Promise.reject(new Error('the last word was asked for')),
    ...more,
  });
  t.teardown(() => names.close());
  return { names, clock, folder, ...server };
}

const one = (ip: string, ttl = 30): Records => ({ addresses: [ip], ttl });

async function codeOf(names: SystemNames, name: string, family: Family = 'v4'): Promise<string> {
  return names.find(name, family).then(
    () => 'found',
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
}

t.test(
  'the hosts file comes before DNS: every address of the family, whatever the case, comments and the dot at the end',
  async (t) => {
    const hosts =
      '127.0.0.1 localhost # here\n10.0.0.1\tDb.Test alias\n10.0.0.2 db.test\n::5 db.test\n# 10.0.0.3 db.test\nnonsense x\n';
    const { names, asked } = await setUp(t, new Map([['v6.test', one('10.0.0.9')]]), { hosts: `${hosts}::6 v6.test\n` });
    t.same(await names.find('db.test', 'v4'), { addresses: ['10.0.0.1', '10.0.0.2'], ttl: null });
    t.same(await names.find('DB.test.', 'any'), { addresses: ['10.0.0.1', '10.0.0.2', '::5'], ttl: null });
    t.same(await names.find('alias', 'v4'), { addresses: ['10.0.0.1'], ttl: null });
    t.equal(asked.length, 0);
    t.same(await names.find('v6.test', 'v4'), { addresses: ['10.0.0.9'], ttl: 30 }, 'of the other family only: DNS is asked');
  },
);

t.test('the TTL is the shortest of the records', async (t) => {
  const zone: Zone = new Map([['a.test', { addresses: ['10.0.0.1', '10.0.0.2'], ttl: 20 }]]);
  const { names } = await setUp(t, zone);
  t.match(await names.find('a.test', 'v4'), { addresses: ['10.0.0.1', '10.0.0.2'], ttl: 20 });
});

t.test('search list and ndots are those of resolv.conf, in the order of glibc', async (t) => {
  const resolvConf = 'nameserver 127.0.0.1\nsearch ns.svc.local svc.local local\noptions timeout:1 ndots:3\n';
  const zone: Zone = new Map([
    ['backend.svc.local', one('10.0.0.1')],
    ['a.b.c.d', one('10.0.0.2')],
    ['api.partner.test', one('10.0.0.3')],
  ]);
  const { names, asked } = await setUp(t, zone, { resolvConf });
  const asking = async (name: string): Promise<readonly string[]> => {
    asked.length = 0;
    await names.find(name, 'v4').catch(() => undefined);
    return [...asked];
  };
  t.same(await asking('backend'), ['backend.ns.svc.local A', 'backend.svc.local A']);
  t.same(await asking('a.b.c.d'), ['a.b.c.d A'], 'enough dots: as it is, first');
  t.same(await asking('api.partner.test'), [
    'api.partner.test.ns.svc.local A',
    'api.partner.test.svc.local A',
    'api.partner.test.local A',
    'api.partner.test A',
  ]);
  t.same(await asking('nothing.'), ['nothing A'], 'a dot at the end: no search');
});

t.test('why there is no address', async (t) => {
  const resolvConf = 'search b.test c.test\n';
  const zone: Zone = new Map<string, Records | 'silent' | 'servfail' | 'empty'>([
    ['empty.b.test', 'empty'],
    ['broken.b.test', 'servfail'],
    ['found.b.test', 'servfail'],
    ['found.c.test', one('10.0.0.1')],
  ]);
  const { names } = await setUp(t, zone, { resolvConf });
  t.equal(await codeOf(names, 'nothing'), 'ENOTFOUND');
  t.equal(await codeOf(names, 'empty'), 'ENODATA');
  t.equal(await codeOf(names, 'broken'), 'ESERVFAIL');
  t.equal(await codeOf(names, 'found'), 'found', 'a server that fails does not end the search');
});

t.test('both families are asked for where both count', async (t) => {
  const v6 = '2001:0db8:0000:0000:0000:0000:0000:0001';
  const zone: Zone = new Map([
    ['both.test', { addresses: ['10.0.0.1', v6], ttl: 9 }],
    ['six.test', { addresses: [v6], ttl: 9 }],
  ]);
  const { names } = await setUp(t, zone);
  t.match(await names.find('both.test', 'any'), { addresses: ['10.0.0.1', '2001:db8::1'], ttl: 9 });
  t.match(await names.find('six.test', 'any'), { addresses: ['2001:db8::1'] });
  t.match(await names.find('six.test', 'v4'), { addresses: ['2001:db8::1'] }, 'where there is no IPv4 address');
  t.match(await names.find('both.test', 'v4'), { addresses: ['10.0.0.1'] });
});

t.test('where the system has other sources of names, what neither has is asked of it', async (t) => {
  const given: string[] = [];
  const lastWord = (name: string): Promise<readonly string[]> => {
    given.push(name);
    return name === 'ldap.test' ? Promise.resolve(['10.0.0.7']) : Promise.reject(new Error('it has not'));
  };
  const zone: Zone = new Map([['a.test', one('10.0.0.1')]]);
  const { names } = await setUp(t, zone, { nsswitch: 'passwd: files\nhosts: files ldap [NOTFOUND=return] dns\n' }, { lastWord });
  t.match(await names.find('a.test', 'v4'), { addresses: ['10.0.0.1'] });
  t.same(await names.find('ldap.test', 'v4'), { addresses: ['10.0.0.7'], ttl: null });
  t.equal(await codeOf(names, 'nothing.test'), 'ENOTFOUND', 'what DNS said');
  t.same(given, ['ldap.test', 'nothing.test']);
});

t.test('files that change are read again, and one that is not there is empty', async (t) => {
  const { names, clock, folder, newClient } = await setUp(t, new Map([['x.c.test', one('10.0.0.3')]]));
  t.equal(await codeOf(names, 'x'), 'ENOTFOUND');
  await writeFile(`${folder}/resolv.conf`, 'search c.test\n');
  await writeFile(`${folder}/hosts`, '10.0.0.1 y\n');
  clock.advance(5_000);
  t.match(await names.find('x', 'v4'), { addresses: ['10.0.0.3'] });
  t.match(await names.find('y', 'v4'), { addresses: ['10.0.0.1'] });
  const none = createSystemNames({ clock, hosts: '/nowhere', resolvConf: '/nowhere', nsswitch: '/nowhere', newClient });
  t.teardown(() => none.close());
  t.match(await none.find('x.c.test', 'v4'), { addresses: ['10.0.0.3'] });
});

t.test('24 dead names: a good one is answered, follows its changes, and files are read, while all of them hang', async (t) => {
  const zone: Zone = new Map([['good.test', one('10.0.0.1', 1)]]);
  const dead = Array.from({ length: 24 }, (_, i) => `dead${i}.test`);
  for (const name of dead) zone.set(name, 'silent');
  const { names, asked } = await setUp(t, zone);
  const events = new EventEmitter();
  const log: string[] = [];
  const resolver = createResolver({
    clock: systemClock({ keepAlive: true }),
    lookup: (name, family) => names.find(name, family),
    // None of them fails before the test is over: the rest happens while they hang.
    deadlineMs: 600_000,
    onAnswer(name, resolution) {
      log.push(`${name} ${resolution.kind === 'resolved' ? resolution.addresses.join() : 'failed'}`);
      events.emit('answer');
    },
  });
  t.teardown(() => resolver.close());
  const until = async (line: string): Promise<void> => {
    while (!log.includes(line)) await once(events, 'answer');
  };
  resolver.want(new Map([...dead, 'good.test'].map((name) => [name, 'v4' as const])));
  for (const name of dead) void resolver.resolve(name, 'v4');
  t.match(await resolver.resolve('good.test', 'v4'), { addresses: ['10.0.0.1'] });
  t.equal(new Set(asked.filter((question) => question.startsWith('dead'))).size, 24, 'all of them are under way');
  t.match(await resolver.resolve('GOOD.test', 'v4'), { addresses: ['10.0.0.1'] }, 'and so is one that comes now');
  for (const ip of ['10.0.0.2', '10.0.0.3']) {
    zone.set('good.test', one(ip, 1));
    await until(`good.test ${ip}`);
  }
  t.match(await readFile(new URL(import.meta.url), 'utf8'), /24 dead names/);
  t.notOk(log.some((line) => line.startsWith('dead')));
});
