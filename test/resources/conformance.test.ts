import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { serverName } from '../../src/model/names.ts';
import { compile } from '../../src/resources/compile.ts';
import type { SourceFile } from '../../src/resources/compile.ts';
import { ca, lines, linesOf, snapshotOf, terminated, withIdentities } from './fixtures/compiling.ts';
import { servedByEnvoy, servedBySnapshot } from './fixtures/golden.ts';
import { makeLeaf } from './fixtures/pki.ts';

const KUMA = new URL('../../../shared/conformance/kuma-2.14.3/egress/', import.meta.url);
const LIVE = new URL('../../../shared/conformance/kuma-cp-live/resources/', import.meta.url);
const skip = (folder: URL): { skip: string | false } => ({ skip: existsSync(folder) ? false : 'skipped: no conformance data' });

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const secret = (mesh: string, name: string, text: string): string =>
  `---\ntype: Secret\nmesh: ${mesh}\nname: ${name}\ndata: ${base64(text)}\n`;

/** Kuma's unit tests have no CA of the mesh, a text that is no certificate, and a permission of another mesh that their builder lets through. */
function completed(input: string): string {
  return (
    input.replaceAll('inlineString: xyz', `inline: ${base64(ca.cert)}`).replace('mesh: zone-1', 'mesh: mesh-1') +
    secret('mesh-1', 'mesh-1.ca-builtin-cert-ca-1', ca.cert) +
    secret('mesh-1', 'mesh-1.ca-builtin-key-ca-1', ca.key)
  );
}

t.test('each zone of Kuma’s egress tests is served as Kuma’s egress serves it', skip(KUMA), async (t) => {
  const inputs = readdirSync(new URL('input/', KUMA));
  t.equal(inputs.length, 6);
  for (const input of inputs) {
    const text = completed(readFileSync(new URL(`input/${input}`, KUMA), 'utf8'));
    const compiled = compile([{ path: input, text }], {});
    t.same(linesOf(compiled, 'error'), [], input);
    const golden = servedByEnvoy(readFileSync(new URL(`golden/${input}`, KUMA), 'utf8'));
    t.ok(Object.keys(golden).length > 0, input);
    t.same(servedBySnapshot(snapshotOf(compiled)), golden, input);
  }
});

/** The recorded zone, with keys of our own, the zones that the control plane knew, and the services that it had found. */
function liveFiles(): readonly SourceFile[] {
  const client = makeLeaf('client');
  const texts = readdirSync(LIVE)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => ({ path: file, text: readFileSync(new URL(file, LIVE), 'utf8') }));
  for (const [proxy, zone, services] of [
    ['zoneegress', 'zone-1', ''],
    ['zoneingress-zone2', 'zone-2', ['backend, version: v1', 'backend, version: v2', 'es-zone2, kuma.io/zone: zone-2']],
    ['zoneingress-zone3', 'zone-3', ['backend, version: v1']],
  ] as const) {
    const items = (services === '' ? [] : services).map(
      (tags) => `- {tags: {kuma.io/service: ${tags}}, instances: 1, mesh: default}\n`,
    );
    const more = items.length === 0 ? '' : `availableServices:\n${items.join('')}`;
    texts.push({
      path: `${proxy}.yaml`,
      text: `${readFileSync(new URL(`proxies/${proxy}.yaml`, LIVE), 'utf8')}zone: ${zone}\n${more}`,
    });
  }
  return texts.map(({ path, text }) => ({
    path,
    text: text
      .replaceAll('__EXT_CA_STR__', JSON.stringify(ca.cert))
      .replaceAll('__EXT_CLIENT_CRT_STR__', JSON.stringify(client.cert))
      .replaceAll('__EXT_CLIENT_KEY_STR__', JSON.stringify(client.key)),
  }));
}

t.test('the resources of the recorded control plane compile, with what the recording saw', skip(LIVE), async (t) => {
  const compiled = compile(liveFiles(), withIdentities);
  t.same(linesOf(compiled, 'error'), []);
  const { routes, clusters } = snapshotOf(compiled);
  t.ok(routes.has(serverName('a5268803d4bdc1ba1.mes-tcp.9000.default.mes')));
  t.equal(routes.get(serverName('es-zone2{mesh=default}'))?.kind, 'passthrough');
  t.equal(routes.get(serverName('backend{mesh=default,version=v1}'))?.kind, 'passthrough');
  t.equal(routes.get(serverName('es3{mesh=mesh-3}'))?.kind, 'terminate', 'a mesh without zoneEgress');
  t.notOk(
    [...routes.keys()].some((sni) => sni.includes('mesh-plain')),
    'a mesh without mTLS',
  );
  const kind = (sni: string): string => {
    const { permission } = terminated(compiled, sni);
    return permission.kind === 'rules' ? permission.rules.map(({ action }) => action).join(' ') : permission.kind;
  };
  t.equal(kind('es-http{mesh=default}'), 'allow-all');
  t.equal(kind('es-denied-tcp{mesh=default}'), 'allow', 'somebody else only');
  t.equal(kind('es-team{mesh=default}'), 'allow allow');
  t.equal(kind('es-mtp-tcp{mesh=mesh-2}'), 'allow');
  t.equal(kind('es-mtp-http{mesh=mesh-2}'), 'allow deny');
  t.equal(kind('es-mtp-shadow{mesh=mesh-2}'), 'shadow-deny');
  t.equal(kind('es-none-tcp{mesh=mesh-2}'), 'deny-all');
  t.equal(clusters.get('default:es-twin')?.endpoints.length, 2);
  t.same(
    lines(compiled).filter((line) => !line.includes('warning')),
    [],
  );
});
