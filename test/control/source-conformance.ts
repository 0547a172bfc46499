/**
 * The promises of every source of configurations: `keepsItsPromises` runs the same tests on each. A
 * new source is a new `SourceKind` in sources.test.ts.
 */
import type { Test } from 'tap';
import type { ConfigSource, Good } from '../../src/control/sources/config-source.ts';
import type { Compiled } from '../../src/model/compiled.ts';
import { BOUND_MS } from '../egress/until.ts';

export interface SourceKind {
  readonly name: string;
  /** False: `watch` never reports a change, so a load has to be requested. */
  readonly tells: boolean;
  /**
   * True when a fault at its origin makes a bad load. Otherwise the source itself keeps the last
   * good state, and a load returns that.
   */
  readonly givesProblems: boolean;
  /** Makes a source that serves `api`. */
  readonly make: () => Promise<Subject>;
  /**
   * Makes a source whose origin does not answer, so that its start waits. Absent means that a start
   * never waits.
   */
  readonly makeSilent?: () => Promise<Subject>;
}

export interface Subject {
  readonly source: ConfigSource;
  /** Serves exactly these services from now on, without a fault. */
  readonly serve: (services: readonly string[]) => Promise<void>;
  /**
   * Makes its content unusable. Resolves when the source has noticed, where it does so by itself.
   */
  readonly spoil: () => Promise<void>;
  /** Ends the origin of the source. */
  readonly end: () => Promise<void>;
}

export function keepsItsPromises(t: Test, kind: SourceKind): void {
  void t.test(`${kind.name} keeps the promises of a source`, async (t) => {
    const test = (promise: string, body: (t: Test, subject: Subject) => Promise<void>): Promise<unknown> =>
      t.test(promise, async (t) => {
        const subject = await kind.make();
        t.teardown(async () => {
          await subject.source.close?.();
          await subject.end();
        });
        await bounded(promise, body(t, subject));
      });

    await test('the first load gives a whole configuration that is frozen and has no secret in it', async (t, { source }) => {
      await source.start?.(undefined);
      const first = good(await source.load());
      t.strictSame(services(first), ['api']);
      t.match(first.snapshot.version, /^\S+$/);
      t.ok(first.snapshot.meshes.size > 0, 'the mesh that ends here is there');
      t.ok(Object.isFrozen(first.snapshot), 'the snapshot is frozen');
      for (const map of [first.snapshot.routes, first.snapshot.clusters, first.snapshot.meshes])
        for (const [key, value] of map) t.ok(Object.isFrozen(value), `${String(key)} is frozen`);
      const { snapshot } = first;
      t.notMatch(JSON.stringify([...snapshot.routes, ...snapshot.clusters, ...snapshot.meshes]), /PRIVATE KEY|BEGIN CERT/);
      t.ok(first.secrets.size > 0, 'secrets travel apart');
      t.match(first.listener, { name: /./, address: String, adminPort: Number });
      t.same(
        first.problems.filter(({ severity }) => severity === 'error'),
        [],
      );
    });

    await test('a load of what has not changed gives the same version and the same content', async (t, { source }) => {
      await source.start?.(undefined);
      const [first, second] = [good(await source.load()), good(await source.load())];
      t.strictSame(second.snapshot, first.snapshot);
      t.strictSame(second.listener, first.listener);
    });

    await test('a leave, also a second one, keeps the last state', async (t, { source }) => {
      await source.start?.(undefined);
      const first = good(await source.load());
      source.leave?.();
      source.leave?.();
      t.strictSame(good(await source.load()).snapshot, first.snapshot);
    });

    await test('a change is told to the watch and is in the load behind it, under another version', async (t, {
      source,
      serve,
    }) => {
      await source.start?.(undefined);
      const first = good(await source.load());
      const watched = watch(kind, source);
      await serve(['api', 'billing']);
      const second = await watched.until((load) => services(load).length === 2);
      t.strictSame(services(second), ['api', 'billing']);
      t.not(second.snapshot.version, first.snapshot.version);
      t.strictSame(routeOf(second, 'api'), routeOf(first, 'api'), 'the rest is as it was');
      await serve(['billing']);
      t.strictSame(services(await watched.until((load) => services(load).length === 1)), ['billing'], 'also what went');
      watched.stop();
    });

    await test('a change between the load and the watch is told too', async (t, { source, serve }) => {
      await source.start?.(undefined);
      await source.load();
      await serve(['billing']);
      const watched = watch(kind, source);
      t.strictSame(services(await watched.until((load) => services(load)[0] === 'billing')), ['billing']);
      watched.stop();
    });

    await test('after the stop of a watch nothing is told, and another watch still is', async (t, { source, serve }) => {
      await source.start?.(undefined);
      await source.load();
      let told = 0;
      const stop = source.watch(() => void told++);
      stop();
      stop();
      const before = told;
      const watched = watch(kind, source);
      await serve(['billing']);
      await watched.until((load) => services(load)[0] === 'billing');
      t.equal(told, before);
      watched.stop();
    });

    await test('what is bad is a problem with its place or the last good, and the next good one counts', async (t, subject) => {
      const { source, serve, spoil } = subject;
      await source.start?.(undefined);
      const first = good(await source.load());
      await spoil();
      const bad = await source.load();
      if (kind.givesProblems) {
        t.equal(bad.kind, 'invalid');
        const problem = bad.problems.find(({ severity }) => severity === 'error');
        t.match(problem, { file: /./, message: /./ });
        t.ok((problem?.line ?? 0) > 0 && (problem?.column ?? 0) > 0, `it stands at a place: ${JSON.stringify(problem)}`);
      } else t.strictSame(good(bad).snapshot, first.snapshot);
      const watched = watch(kind, source);
      await serve(['billing']);
      t.strictSame(services(await watched.until((load) => services(load)[0] === 'billing')), ['billing']);
      watched.stop();
    });

    await test('a close while it loads lets the load settle', async (t, { source }) => {
      await source.start?.(undefined);
      const load = source.load().then(
        () => 'settled',
        () => 'settled',
      );
      await source.close?.();
      t.equal(await load, 'settled');
    });

    await test('a close may come twice, also at once', async (t, { source }) => {
      await source.start?.(undefined);
      await source.load();
      await Promise.all([source.close?.(), source.close?.()]);
      await source.close?.();
      t.pass('each has resolved');
    });

    await test('a close may come before the start', async (t, { source }) => {
      await source.close?.();
      t.pass('it has resolved');
    });

    await test('after its close nothing is told of a change', async (t, { source, serve }) => {
      await source.start?.(undefined);
      await source.load();
      let told = 0;
      source.watch(() => void told++);
      await source.close?.();
      const before = told;
      await serve(['billing']);
      // A second source that sees the change shows that there was one to report.
      const other = await kind.make();
      t.teardown(async () => {
        await other.source.close?.();
        await other.end();
      });
      await other.source.start?.(undefined);
      await other.source.load();
      const watched = watch(kind, other.source);
      await other.serve(['billing']);
      await watched.until((load) => services(load)[0] === 'billing');
      watched.stop();
      t.equal(told, before);
    });

    await test('a start that is aborted already rejects with the reason, or does not begin to wait', async (t, { source }) => {
      const reason = new Error('enough');
      const outcome = await Promise.resolve(source.start?.(AbortSignal.abort(reason))).catch((error: unknown) => error);
      if (kind.makeSilent !== undefined) t.equal(outcome, reason);
      else t.equal(outcome, undefined);
    });

    if (kind.makeSilent === undefined) return;
    const silent = await kind.makeSilent();
    await t.test('a start that waits ends with the reason of its signal', async (t) => {
      const giveUp = new AbortController();
      const reason = new Error('enough');
      const start = silent.source.start?.(giveUp.signal);
      setImmediate(() => giveUp.abort(reason));
      await bounded('the start ends', t.rejects(start ?? Promise.resolve(), reason));
      await silent.source.close?.();
      await silent.end();
    });
  });
}

function good(load: Compiled): Good {
  if (load.kind === 'invalid') throw new Error(`not a good load: ${JSON.stringify(load.problems)}`);
  return load;
}

function services({ snapshot }: Good): readonly string[] {
  return [...snapshot.routes.values()].map(({ destination }) => destination).sort();
}

function routeOf({ snapshot }: Good, service: string): unknown {
  return [...snapshot.routes.values()].find(({ destination }) => destination === service);
}

/** Loads whenever the source reports a change; on request where it never does. */
function watch(
  { tells }: SourceKind,
  source: ConfigSource,
): { readonly stop: () => void; until(fits: (load: Good) => boolean): Promise<Good> } {
  let told = 0;
  let wake: (() => void) | null = null;
  const stop = source.watch(() => {
    told++;
    wake?.();
  });
  return {
    stop,
    async until(fits) {
      for (let seen = tells ? 0 : -1; ;) {
        if (tells && told === seen) await new Promise<void>((resolve) => void (wake = resolve));
        seen = told;
        const load = await source.load();
        if (load.kind === 'compiled' && fits(load)) return load;
        if (!tells) throw new Error(`loaded something else: ${JSON.stringify(load)}`);
      }
    },
  };
}

/** A longer time counts as a failure. */
async function bounded(what: string, body: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`waited ${BOUND_MS} ms for: ${what}`)), BOUND_MS);
  try {
    await Promise.race([body, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
