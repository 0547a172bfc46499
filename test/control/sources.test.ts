// Runs the promises of source-conformance.ts on every source.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { systemClock } from '../../src/base/clock.ts';
import type { ConfigSource } from '../../src/control/sources/config-source.ts';
import { folderSource, memorySource } from '../../src/control/sources/folder-source.ts';
import { givenSource } from '../../src/control/sources/given-source.ts';
import { controlPlaneOf } from '../../src/control/sources/join-control-plane.ts';
import { threadSource } from '../../src/control/sources/thread-source.ts';
import { createObserver } from '../../src/observe/observer.ts';
import { fakeConfiguration } from '../../src/testing/control-plane/fake-configuration.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';
import { joining } from '../egress/controlled-zone.ts';
import { keepsItsPromises } from './source-conformance.ts';
import type { SourceKind, Subject } from './source-conformance.ts';

const clock = systemClock();
const mesh = await createTestMesh('default', { keyType: 'ec' });

function yamlOf(services: readonly string[]): string {
  const egress = 'type: ZoneEgress\nname: egress\nzone: east\nnetworking: { address: 127.0.0.1, port: 10002 }\n';
  const external = services.map(
    (name) =>
      `type: ExternalService\nmesh: default\nname: ${name}\ntags: { kuma.io/service: ${name} }\nnetworking: { address: '192.0.2.1:80' }\n`,
  );
  return [mesh.resources, egress, ...external].join('\n---\n');
}

const BROKEN = `${yamlOf(['api', 'billing'])}---\ntype: ExternalService\nmesh: default\nname: [\n`;

/** Makes a folder and its reader. */
function inFolder(read: (dir: string) => ConfigSource): () => Promise<Subject> {
  return () => {
    const dir = mkdtempSync(join(tmpdir(), 'zone-egress-source-'));
    const write = (text: string): void => writeFileSync(join(dir, 'zone.yaml'), text);
    write(yamlOf(['api']));
    return Promise.resolve({
      source: read(dir),
      serve: (services) => Promise.resolve(write(yamlOf(services))),
      spoil: () => Promise.resolve(write(BROKEN)),
      end: () => Promise.resolve(rmSync(dir, { recursive: true, force: true })),
    });
  };
}

function inMemory(): Promise<Subject> {
  let text = yamlOf(['api']);
  const set = (next: string): Promise<void> => Promise.resolve(void (text = next));
  return Promise.resolve({
    source: memorySource(() => [{ path: 'zone.yaml', text }], {}),
    serve: (services) => set(yamlOf(services)),
    spoil: () => set(BROKEN),
    end: () => Promise.resolve(),
  });
}

async function atControlPlane(isSilent: boolean): Promise<Subject> {
  const controlPlane = await createFakeControlPlane({ nackBackoffMs: 20, deregistrationDelayMs: 200 });
  const observer = createObserver({ clock, level: 'off', version: '0' });
  let mend = (): void => {};
  const serve = (services: readonly string[]): Promise<void> => {
    mend();
    const external = Object.fromEntries(services.map((name) => [name, { address: '192.0.2.1', port: 80 }]));
    controlPlane.set(fakeConfiguration({ address: '127.0.0.1', port: 10_002, meshes: [mesh], external }));
    return Promise.resolve();
  };
  await serve(['api']);
  if (isSilent) controlPlane.stall('cluster');
  return {
    source: controlPlaneOf(joining(controlPlane, controlPlane.tokens.issue()), {
      clock,
      sinks: observer,
      hold: () => Promise.resolve(),
    }),
    serve,
    async spoil() {
      mend = controlPlane.nackLoop('cluster');
      await controlPlane.waitFor(({ error }) => error !== null);
    },
    async end() {
      await controlPlane.close();
      observer.close();
    },
  };
}

/** The class of docs/config-sources.md, as printed there. */
interface OwnSource extends ConfigSource {
  put(path: string, text: string): void;
}
const examples = mkdtempSync(join(tmpdir(), 'zone-egress-own-source-'));
t.teardown(() => rmSync(examples, { recursive: true, force: true }));
const page = readFileSync(new URL('../../docs/config-sources.md', import.meta.url), 'utf8');
const [code = ''] = /^class OwnSource \{[^]*?^\}/m.exec(page) ?? [];
const file = join(examples, 'own-source.mjs');
const entry = new URL('../../src/egress.ts', import.meta.url).href;
writeFileSync(
  file,
  `import { EventEmitter } from 'node:events';\nimport { compileResources } from ${JSON.stringify(entry)};\nexport ${code}\n`,
);
const { OwnSource } = (await import(pathToFileURL(file).href)) as { OwnSource: new () => OwnSource };

function embedders(): Promise<Subject> {
  const source = new OwnSource();
  source.put('zone.yaml', yamlOf(['api']));
  return Promise.resolve({
    source,
    serve: (services) => Promise.resolve(source.put('zone.yaml', yamlOf(services))),
    spoil: () => Promise.resolve(source.put('zone.yaml', BROKEN)),
    end: () => Promise.resolve(),
  });
}

const KINDS: readonly SourceKind[] = [
  { name: 'a folder', tells: true, givesProblems: true, make: inFolder((dir) => folderSource({ dir, clock })) },
  { name: 'a folder in a thread', tells: true, givesProblems: true, make: inFolder((dir) => threadSource({ dir, clock })) },
  { name: 'resources in memory', tells: false, givesProblems: true, make: inMemory },
  {
    name: 'a control plane',
    tells: true,
    givesProblems: false,
    make: () => atControlPlane(false),
    makeSilent: () => atControlPlane(true),
  },
  { name: 'the source of docs/config-sources.md', tells: true, givesProblems: true, make: embedders },
];

for (const kind of KINDS) {
  keepsItsPromises(t, kind);
  // The wrapper of startEgress around a source takes nothing away from it.
  const handedIn = async (make: () => Promise<Subject>): Promise<Subject> => {
    const subject = await make();
    return { ...subject, source: givenSource(subject.source, (error) => t.fail(error.message)) };
  };
  keepsItsPromises(t, {
    ...kind,
    name: `${kind.name}, handed in`,
    make: () => handedIn(kind.make),
    ...(kind.makeSilent === undefined ? {} : { makeSilent: () => handedIn(kind.makeSilent ?? kind.make) }),
  });
}
