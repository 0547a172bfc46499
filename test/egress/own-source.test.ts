/**
 * An egress with an embedder's source: it serves what the source returns, and no fault of the
 * source affects the live configuration, the end, or the process.
 */
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import t from 'tap';
import type { Test } from 'tap';
import { compileResources, ConfigError, startEgress } from '../../src/egress.ts';
import type { Compiled, ConfigSource, Egress, EgressOptions } from '../../src/egress.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { until } from './until.ts';
import { activeResources, ask, leftovers } from './zone.ts';

const mesh = await createTestMesh('default', { keyType: 'ec' });

/** Makes services that every client of the mesh may reach, all at one port of this machine. */
function files(services: readonly string[], port: number): { path: string; text: string }[] {
  const egress = 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';
  const permission =
    "type: TrafficPermission\nmesh: default\nname: all\nsources: [{ match: { kuma.io/service: '*' } }]\ndestinations: [{ match: { kuma.io/service: '*' } }]\n";
  const external = services.map(
    (name) =>
      `type: ExternalService\nmesh: default\nname: ${name}\ntags: { kuma.io/service: ${name} }\nnetworking: { address: '127.0.0.1:${port}' }\n`,
  );
  return [{ path: 'zone.yaml', text: [mesh.resources, egress, permission, ...external].join('\n---\n') }];
}

function compiled(services: readonly string[], port = 80): Extract<Compiled, { kind: 'compiled' }> {
  const made = compileResources(files(services, port), {});
  if (made.kind === 'invalid') throw new Error(JSON.stringify(made.problems));
  return made;
}

/** A source whose next answer the test decides, and which records the calls on it. */
class Scripted implements ConfigSource {
  readonly behaviour = { alwaysWatched: true };
  readonly calls: string[] = [];
  changed: () => void = () => {};
  answer: () => unknown;

  constructor(answer: () => unknown) {
    this.answer = answer;
  }

  load(): Promise<Compiled> {
    this.calls.push('load');
    return this.answer() as Promise<Compiled>;
  }

  watch(changed: () => void): () => void {
    this.calls.push('watch');
    this.changed = changed;
    return () => void this.calls.push('stop');
  }

  close(): Promise<void> {
    this.calls.push('close');
    return Promise.resolve();
  }
}

type LogLine = Readonly<Record<string, unknown>>;

/** Close it with `await using`, which also checks for what was left behind. */
function start(
  t: Test,
  source: unknown,
  options: Partial<EgressOptions> = {},
): AsyncDisposable & { readonly started: Promise<Egress>; readonly log: readonly LogLine[] } {
  const before = activeResources();
  const log: LogLine[] = [];
  const started = startEgress({
    source: source as ConfigSource,
    port: 0,
    admin: false,
    logLevel: 'debug',
    logDestination: { write: (line) => void log.push(JSON.parse(line) as LogLine) },
    ...options,
  });
  return {
    started,
    log,
    async [Symbol.asyncDispose]() {
      await started.then(
        (egress) => egress.close(),
        () => {},
      );
      t.strictSame(await leftovers(before), [], 'nothing is left');
    },
  };
}

/** Returns the error of a failed start. */
async function refusal(t: Test, source: unknown, options: Partial<EgressOptions> = {}): Promise<unknown> {
  await using run = start(t, source, options);
  return run.started.then(
    () => undefined,
    (error: unknown) => error,
  );
}

async function answerOf(egress: Egress, service: string): Promise<string> {
  const socket = connectTls({
    port: egress.port,
    host: '127.0.0.1',
    servername: `${service}{mesh=default}`,
    ...mesh.client('frontend'),
    rejectUnauthorized: false,
    ALPNProtocols: ['kuma'],
  } as ConnectionOptions);
  const closed = once(socket, 'close').catch(() => {});
  try {
    await once(socket, 'secureConnect');
    return await ask(socket, 'hello');
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    socket.destroy();
    await closed;
  }
}

t.test('sessions go by what the source gives, and each change that it tells of goes live', async (t) => {
  const echo = await createFakeExternalService();
  t.teardown(() => echo.close());
  const source = new Scripted(() => Promise.resolve(compiled(['api'], echo.port)));
  await using run = start(t, source);
  const egress = await run.started;
  t.match(
    run.log.find(({ msg }) => msg === 'zone egress is ready'),
    { mode: 'own source', source: '', name: 'egress' },
  );
  t.equal(await answerOf(egress, 'api'), 'hello');
  t.match(await answerOf(egress, 'billing'), /alert|reset|hang up|disconnected/);

  source.answer = () => Promise.resolve(compiled(['billing'], echo.port));
  source.changed();
  await until('the change is live', () => egress.snapshot().routes.has('billing{mesh=default}' as never));
  t.equal(await answerOf(egress, 'billing'), 'hello');
  t.match(await answerOf(egress, 'api'), /alert|reset|hang up|disconnected/);
});

const good = compiled(['api']);
const { snapshot } = good;
const [[sni, route]] = [...snapshot.routes] as never as [[string, Record<string, unknown>]];
const [[name, cluster]] = [...snapshot.clusters] as never as [[string, Record<string, unknown>]];
const withRoute = (change: object): unknown => ({
  ...good,
  snapshot: { ...snapshot, version: 'x', routes: new Map([[sni, { ...route, ...change }]]) },
});
const withCluster = (change: object): unknown => ({
  ...good,
  snapshot: { ...snapshot, version: 'x', clusters: new Map([[name, { ...cluster, ...change }]]) },
});
const thrown = (error: unknown): never => {
  throw error;
};

/** Faults of a load, with the text of the problem. */
const BAD_LOADS: Readonly<Record<string, readonly [load: () => unknown, problem: RegExp]>> = {
  'it throws': [() => thrown(new Error('no database')), /^the source of the configuration failed: Error: no database/],
  'it throws a text': [() => thrown('no database'), /^the source of the configuration failed: no database/],
  'it rejects': [() => Promise.reject(new Error('no database')), /^the source of the configuration failed: Error: no database/],
  'it rejects with nothing': [
    () => ({ then: (_: unknown, reject: () => void) => reject() }),
    /^the source of the configuration failed: undefined/,
  ],
  nothing: [() => undefined, /load\(\): undefined is not allowed: a configuration, as compileResources gives it/],
  null: [() => Promise.resolve(null), /load\(\): null is not allowed/],
  'a text': [() => 'type: Mesh', /load\(\): "type: Mesh" is not allowed/],
  'a list of files': [() => [{ path: 'a', text: '' }], /load\(\): a list is not allowed/],
  'an empty object': [() => ({}), /load\(\): kind undefined: allowed are compiled, invalid/],
  'a misspelt kind': [() => ({ ...good, kind: 'complied' }), /kind "complied": allowed are .*did you mean "compiled"/],
  'no snapshot': [() => ({ ...good, snapshot: undefined }), /load\(\): snapshot is missing/],
  'routes as a list': [
    () => ({ ...good, snapshot: { ...snapshot, routes: [] } }),
    /snapshot\.routes: a list is not allowed: a Map/,
  ],
  'no version': [() => ({ ...good, snapshot: { ...snapshot, version: '' } }), /snapshot\.version: "" is not allowed/],
  'a field too many': [() => ({ ...good, routes: new Map() }), /unknown option "routes"/],
  'no secrets': [() => ({ ...good, secrets: {} }), /secrets: an object is not allowed: a Map is wanted/],
  'a port that is a text': [
    () => ({ ...good, listener: { ...good.listener, port: '80' } }),
    /listener\.port: "80" is not allowed/,
  ],
  'a problem without a place': [() => ({ kind: 'invalid', problems: ['bad'] }), /problems\[0\]: "bad" is not allowed/],
  'no problems': [() => ({ kind: 'invalid', problems: [] }), /an invalid configuration without any error/],
  'a route without a permission': [() => withRoute({ permission: undefined }), /snapshot\.routes\.api.*permission is missing/],
  'a misspelt permission': [
    () => withRoute({ permission: { kind: 'alow-all', by: '' } }),
    /permission\.kind "alow-all".*"allow-all"/,
  ],
  'a principal without a kind': [
    () => withRoute({ permission: { kind: 'rules', by: '', rules: [{ action: 'allow', by: '', principal: 'web' }] } }),
    /rules\[0\]\.principal: "web" is not allowed/,
  ],
  'an endpoint that is a text': [
    () => withCluster({ endpoints: ['127.0.0.1:80'] }),
    /endpoints\[0\]: "127.0.0.1:80" is not allowed/,
  ],
  'a cluster that is not there': [() => withRoute({ cluster: 'elsewhere' }), /its cluster elsewhere is not there/],
  'the same version with another content': [
    () => ({ ...compiled(['billing']), snapshot: { ...compiled(['billing']).snapshot, version: snapshot.version } }),
    /version "\w+" of the live one but other content/,
  ],
};

t.test('a load that goes wrong is a problem that says what it was, and costs nothing that is live', async (t) => {
  const source = new Scripted(() => Promise.resolve(good));
  await using run = start(t, source);
  const egress = await run.started;
  const before = egress.snapshot();
  for (const [what, [load, problem]] of Object.entries(BAD_LOADS)) {
    source.answer = load;
    const result = await egress.reload();
    t.match(result, { kind: 'rejected', problems: [{ severity: 'error', message: problem }] }, what);
    t.same(egress.problems(), result.problems, `${what}: problems() has it`);
    t.notMatch(JSON.stringify(result.problems), /internal error|PRIVATE KEY/, what);
    t.equal(egress.snapshot(), before, `${what}: what was live is still`);
  }
  source.answer = () => Promise.resolve(compiled(['api', 'billing']));
  t.match(await egress.reload(), { kind: 'live', changed: true }, 'the next good one counts');
});

t.test('each of them ends a start, with a ConfigError, and the source is closed', async (t) => {
  for (const [what, [load, problem]] of Object.entries(BAD_LOADS)) {
    if (what.startsWith('the same version')) continue;
    const source = new Scripted(load);
    await using run = start(t, source);
    const error: unknown = await run.started.catch((cause: unknown) => cause);
    t.ok(error instanceof ConfigError, what);
    t.match(error, { problems: [{ severity: 'error', message: problem }] }, what);
    t.strictSame(source.calls, ['load', 'close'], what);
  }
});

t.test('what the embedder changes in place afterwards is not what is live', async (t) => {
  const made = compiled(['api', 'billing']);
  const own = { ...made.snapshot, routes: new Map(made.snapshot.routes) };
  const source = new Scripted(() => Promise.resolve({ ...made, snapshot: { ...own } }));
  await using run = start(t, source);
  const egress = await run.started;
  own.routes.delete('api{mesh=default}' as never);
  t.equal(egress.snapshot().routes.size, 2);
  t.match(await egress.reload(), { kind: 'rejected', problems: [{ message: /but other content/ }] }, 'under the same version');
  own.version = 'another';
  t.match(await egress.reload(), { kind: 'live', changed: true });
  t.equal(egress.snapshot().routes.size, 1, 'the same Map with another content is a change');
});

t.test('what is no source is a TypeError that names the member, before anything is started', async (t) => {
  const load = (): Promise<Compiled> => Promise.resolve(good);
  const watch = (): (() => void) => () => {};
  const wrong: readonly (readonly [source: unknown, message: RegExp])[] = [
    [null, /^startEgress: source: null is not allowed: a source of configurations with load\(\) and watch\(\)/],
    ['folder', /^startEgress: source: "folder" is not allowed/],
    [() => good, /^startEgress: source: a function is not allowed/],
    [[], /^startEgress: source: a list is not allowed/],
    [{ load }, /^startEgress: source: an object is not allowed: a source of configurations with load\(\) and watch\(\)/],
    [{ watch }, /^startEgress: source: an object is not allowed/],
    [{ load: good, watch }, /^startEgress: source: an object is not allowed/],
    [{ load, watch, start: true }, /^startEgress: source\.start: true is not allowed: a function/],
    [{ load, watch, close: null }, /^startEgress: source\.close: null is not allowed/],
    [{ load, watch, about: 'mine' }, /^startEgress: source\.about: "mine" is not allowed/],
    [{ load, watch, about: { mode: 'mine' } }, /^startEgress: source\.about: source is missing/],
    [{ load, watch, warnings: 'careful' }, /^startEgress: source\.warnings: "careful" is not allowed: a list/],
    [{ load, watch, behaviour: { inPiece: true } }, /^startEgress: source\.behaviour: unknown option "inPiece".*"inPieces"/],
    [{ load, watch, behaviour: { inPieces: 'yes' } }, /^startEgress: source\.behaviour\.inPieces: "yes" is not allowed/],
  ];
  for (const [source, message] of wrong) t.match(await refusal(t, source), { name: 'TypeError', message }, String(message));
  await t.rejects(startEgress({}), /needs resources, controlPlane or source/);
  const source = new Scripted(load);
  for (const beside of [{ resources: 'folder' }, { strict: true }, { name: 'egress' }, { zone: 'east' }, { configThread: true }])
    t.match(await refusal(t, source, beside), {
      name: 'TypeError',
      message: /^startEgress: \w+ cannot be combined with source/,
    });
  t.strictSame(source.calls, []);
});

t.test('a start that never answers, and a first load that never does, end with the reason of the signal', async (t) => {
  const never = new Promise<never>(() => {});
  const silent = Object.assign(new Scripted(() => good), { start: () => never });
  for (const source of [silent, new Scripted(() => never)]) {
    const giveUp = new AbortController();
    await using run = start(t, source, { signal: giveUp.signal });
    setImmediate(() => giveUp.abort(new Error('enough')));
    await t.rejects(run.started, /enough/);
    t.equal(source.calls.at(-1), 'close');
  }
  const aborted = new Scripted(() => good);
  t.match(await refusal(t, aborted, { signal: AbortSignal.abort(new Error('before')) }), { message: 'before' });
  t.strictSame(aborted.calls, ['close'], 'nothing is loaded for a signal that is aborted already');
});

t.test('a start that rejects ends startEgress with that error', async (t) => {
  const source = Object.assign(new Scripted(() => good), { start: () => Promise.reject(new RangeError('no such database')) });
  t.match(await refusal(t, source), { name: 'RangeError', message: 'no such database' });
  t.strictSame(source.calls, ['close']);
});

t.test('a load that never answers holds up neither sessions nor the end, and what it brings later is dropped', async (t) => {
  const echo = await createFakeExternalService();
  t.teardown(() => echo.close());
  const source = new Scripted(() => Promise.resolve(compiled(['api'], echo.port)));
  await using run = start(t, source);
  const egress = await run.started;
  const late = Promise.withResolvers<Compiled>();
  source.answer = () => late.promise;
  const [reload, behind] = [egress.reload(), egress.reload()];
  t.equal(await answerOf(egress, 'api'), 'hello');
  await egress.close();
  for (const load of [reload, behind]) t.match(await load, { kind: 'rejected', problems: [{ message: /the egress is closed/ }] });
  const lines = run.log.length;
  const before = egress.snapshot();
  late.resolve(compiled(['billing'], echo.port));
  await late.promise;
  await new Promise((resolve) => void setImmediate(resolve));
  t.equal(egress.snapshot(), before);
  t.equal(run.log.length, lines, 'and nothing is logged of it');
});

t.test('after the close no event and no reload loads anything', async (t) => {
  const source = new Scripted(() => Promise.resolve(good));
  await using run = start(t, source);
  const egress = await run.started;
  await egress.close();
  await egress.close();
  source.changed();
  t.match(await egress.reload(), { kind: 'rejected', problems: [{ message: /the egress is closed/ }] });
  t.strictSame(source.calls, ['load', 'watch', 'stop', 'close']);
});

t.test('a thousand events make no more loads than can be done one after another', async (t) => {
  const source = new Scripted(() => Promise.resolve(good));
  await using run = start(t, source);
  const egress = await run.started;
  for (let i = 0; i < 1_000; i++) source.changed();
  await egress.reload();
  t.equal(source.calls.filter((call) => call === 'load').length, 3, 'the first, one under way, one more');
});

t.test('a watch that fails, or gives back nothing to stop it, ends the start', async (t) => {
  const failing: Readonly<Record<string, readonly [watch: () => unknown, error: RegExp]>> = {
    'it throws': [() => thrown(new Error('no events')), /no events/],
    'it gives back nothing': [() => undefined, /source\.watch\(\) returned no function that stops it/],
    'it is async': [() => Promise.resolve(() => {}), /returned no function/],
    'it is async and rejects': [() => Promise.reject(new Error('no events')), /returned no function/],
  };
  for (const [what, [watch, error]] of Object.entries(failing)) {
    const source = Object.assign(new Scripted(() => Promise.resolve(good)), { watch: watch as ConfigSource['watch'] });
    t.match(await refusal(t, source), { message: error }, what);
    t.strictSame(source.calls, ['load', 'close'], what);
  }
});

t.test('a stop and a close that fail are logged, and the end goes on', async (t) => {
  const fails: readonly (() => unknown)[] = [
    () => thrown(new Error('cannot end')),
    () => Promise.reject(new Error('cannot end')),
    () => thrown('cannot end'),
  ];
  for (const fail of fails) {
    const source = Object.assign(new Scripted(() => Promise.resolve(good)), {
      watch: () => fail,
      close: fail,
    });
    await using run = start(t, source);
    const egress = await run.started;
    await egress.close();
    const lines = run.log.filter(({ level }) => level === 'error').map(({ stack }) => String(stack));
    t.match(lines, [
      /stop to watch the source of the configuration: cannot end/,
      /close the source of the configuration: cannot end/,
    ]);
  }
});

t.test('a drain calls leave, a close does not, and a leave that fails is logged', async (t) => {
  for (const fail of [() => thrown(new Error('cannot leave')), () => Promise.reject(new Error('cannot leave'))]) {
    let leaves = 0;
    const leave = (): unknown => {
      leaves++;
      return fail();
    };
    const source = Object.assign(new Scripted(() => Promise.resolve(good)), { leave });
    await using run = start(t, source);
    const egress = await run.started;
    t.equal(leaves, 0);
    t.equal(await egress.drain(0).done, 'clean');
    await egress.close();
    t.equal(leaves, 1);
    const lines = run.log.filter(({ level }) => level === 'error').map(({ stack }) => String(stack));
    t.match(lines, [/leave the source of the configuration: cannot leave/]);
  }
});

t.test('a close that never answers is waited for some seconds only', async (t) => {
  const source = Object.assign(new Scripted(() => Promise.resolve(good)), { close: () => new Promise<never>(() => {}) });
  await using run = start(t, source);
  const egress = await run.started;
  await egress.close();
  t.ok(run.log.some(({ what }) => what === 'the source of the configuration'));
});

t.test('a function of resources, and a rewrite, that go wrong are problems that say so', async (t) => {
  let resources: () => unknown = () => files(['api'], 80);
  let rewrite: (config: unknown) => unknown = (config) => Promise.resolve(config);
  await using run = start(t, undefined, {
    resources: (() => resources()) as () => [],
    rewrite: ((config: unknown) => rewrite(config)) as never,
  });
  const egress = await run.started;
  const before = egress.snapshot();
  const rejected = async (message: RegExp): Promise<void> => {
    t.match(await egress.reload(), { kind: 'rejected', problems: [{ message }] });
    t.equal(egress.snapshot(), before);
  };
  const right = resources;
  resources = () => thrown(new Error('no database'));
  await rejected(/^the source of the configuration failed: Error: no database/);
  resources = () => Promise.resolve(right());
  await rejected(/resources\(\): an object is not allowed: a list is wanted/);
  resources = () => [{ path: 'a.yaml', txt: '' }];
  await rejected(/resources\(\)\[0\]: unknown option "txt", did you mean "text"/);
  resources = right;
  rewrite = () => thrown(new Error('no stand-in'));
  await rejected(/^the rewrite of the configuration failed: Error: no stand-in/);
  rewrite = () => Promise.resolve(undefined);
  await rejected(/^the rewrite of the configuration failed: .*rewrite\(\): undefined is not allowed/);
  rewrite = (config) => Promise.resolve(config);
  t.match(await egress.reload(), { kind: 'live', changed: false });
});
