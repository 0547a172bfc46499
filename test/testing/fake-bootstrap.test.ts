/**
 * The bootstrap of the fake control plane equals the recorded one: documents, refusals, headers.
 */
import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '@bufbuild/protobuf';
import { parse } from 'yaml';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { FakeControlPlane, FakeControlPlaneOptions } from '../../src/testing/control-plane/fake-control-plane.ts';
import t from 'tap';
import type { Test } from 'tap';
import { KUMA, LIVE, withKuma } from '../data.ts';

const FOLDER = fileURLToPath(LIVE);

interface Answer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
}

interface Case {
  readonly case: string;
  readonly changed: JsonObject;
  readonly dropped: readonly string[];
  readonly headers?: Readonly<Record<string, string | null>> | null;
  readonly status: number;
  readonly content_type?: string | null;
  readonly body?: string;
  readonly kumaSidecarConfiguration?: unknown;
}

async function startWith(t: Test, options: FakeControlPlaneOptions = {}): Promise<FakeControlPlane> {
  const controlPlane = await createFakeControlPlane(options);
  t.teardown(() => controlPlane.close());
  return controlPlane;
}

function post(
  controlPlane: FakeControlPlane,
  body: unknown,
  options: { readonly headers?: Record<string, string>; readonly method?: string; readonly path?: string } = {},
): Promise<Answer> {
  const { headers = { accept: 'application/json' }, method = 'POST', path = '/bootstrap' } = options;
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: 'localhost',
        servername: 'localhost',
        port: controlPlane.port,
        path,
        method,
        headers,
        ca: controlPlane.caCert,
        agent: false,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, contentType: response.headers['content-type'], body: text }),
        );
      },
    );
    request.on('error', reject);
    request.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

/** The request of kuma-dp 2.14.3. */
function recordedRequest(): JsonObject {
  const text = readFileSync(`${FOLDER}bootstrap/kuma-dp.request.http`, 'utf8');
  return JSON.parse(text.slice(text.indexOf('{'))) as JsonObject;
}

function documentIn({ body }: Answer): unknown {
  return parse(Buffer.from((JSON.parse(body) as { bootstrap: string }).bootstrap, 'base64').toString());
}

/**
 * Removes what depends on the moment from a document: the order of features is that of a Go map,
 * trust and address are the server's.
 */
function comparable(document: unknown, port: number): unknown {
  return JSON.parse(
    JSON.stringify(document, (key, value: unknown) => {
      if (key === 'features') return [...(value as string[])].sort();
      if (key === 'inlineBytes') return 'the CA';
      if (key === 'portValue' && value === port) return 5678;
      if (key === 'targetUri') return (value as string).replace(`:${port}`, ':5678');
      return value;
    }),
  );
}

t.test('answers every recorded case: status, content type, body', async (t) => {
  const controlPlane = await startWith(t);
  const base = { ...recordedRequest(), caCert: controlPlane.caCert };
  const whole = { name: 'egress-b', dataplaneResource: recordedResource('ok-minimal.bootstrap.yaml') };
  const cases = JSON.parse(readFileSync(`${FOLDER}bootstrap/cases/index.json`, 'utf8')) as readonly Case[];
  for (const recorded of cases) {
    const { status, content_type: contentType = null, body = '' } = recorded;
    const sent: JsonObject = { ...base, ...whole, ...recorded.changed };
    for (const key of recorded.dropped) Reflect.deleteProperty(sent, key);
    // The recording left out secrets.
    if (recorded.case.startsWith('no-token')) sent['dataplaneToken'] = '';
    if (recorded.case === 'ca-cert-not-a-ca') sent['caCert'] = (await controlPlane.admin.issueServer('127.0.0.1')).cert;
    const headers: Record<string, string> = { accept: 'application/json', 'content-type': 'application/json' };
    for (const [name, value] of Object.entries(recorded.headers ?? {})) {
      if (value === null) Reflect.deleteProperty(headers, name);
      else headers[name] = value;
    }
    if (recorded.case === 'host-not-in-cert') headers['host'] = 'kuma-control-plane.example:5678';
    if (recorded.case === 'host-ip-in-cert') headers['host'] = `127.0.0.1:${controlPlane.port}`;
    const text = { 'body-not-json': 'x', 'body-empty': '', 'get-instead-of-post': '' }[recorded.case] ?? JSON.stringify(sent);
    const answer = await post(controlPlane, text, {
      headers,
      method: recorded.case === 'get-instead-of-post' ? 'GET' : 'POST',
      path: recorded.case === 'wrong-path' ? '/bootstrapp' : '/bootstrap',
    });
    t.equal(answer.status, status, recorded.case);
    t.equal(answer.contentType ?? null, contentType, recorded.case);
    if (status !== 200) t.equal(answer.body, body, recorded.case);
    else if (recorded.kumaSidecarConfiguration !== undefined) {
      t.same(
        (JSON.parse(answer.body) as JsonObject)['kumaSidecarConfiguration'],
        recorded.kumaSidecarConfiguration,
        recorded.case,
      );
    } else t.equal((parse(answer.body) as { node: { id: string } }).node.id, '.egress-b');
    if (body.endsWith('.yaml')) {
      const document = parse(readFileSync(`${FOLDER}bootstrap/cases/${body}`, 'utf8')) as unknown;
      t.same(comparable(documentIn(answer), controlPlane.port), comparable(document, 5678), recorded.case);
    }
  }
  t.equal(controlPlane.bootstraps.length, cases.length);
  t.equal(controlPlane.bootstraps[0]?.answer.status, 200);
});

function recordedResource(file: string): string {
  const document = parse(readFileSync(`${FOLDER}bootstrap/cases/${file}`, 'utf8')) as {
    node: { metadata: Record<string, string> };
  };
  return document.node.metadata['dataplane.resource']!;
}

t.test('makes the documents of 2.14, 2.12 and 2.9', async (t) => {
  const RECORDED = {
    '2.14': 'bootstrap/kuma-dp.bootstrap.yaml',
    '2.12': 'versions/2.12.14/bootstrap/like-kuma-dp-2.14.3.yaml',
    '2.9': 'versions/2.9.19/bootstrap/like-kuma-dp-2.14.3.yaml',
  } as const;
  for (const version of ['2.14', '2.12', '2.9'] as const) {
    const controlPlane = await startWith(t, { version });
    const recorded = parse(readFileSync(`${FOLDER}${RECORDED[version]}`, 'utf8')) as {
      dynamicResources: { adsConfig: { grpcServices: [{ initialMetadata: [{ value: string }] }] } };
    };
    const token = recorded.dynamicResources.adsConfig.grpcServices[0].initialMetadata[0].value;
    const answer = await post(controlPlane, { ...recordedRequest(), caCert: controlPlane.caCert, dataplaneToken: token });
    t.same(comparable(documentIn(answer), controlPlane.port), comparable(recorded, 5678), version);
    t.equal('isUsingTransparentProxy' in networkingIn(answer), version === '2.9', version);
  }
});

function networkingIn({ body }: Answer): object {
  return (JSON.parse(body) as { kumaSidecarConfiguration: { networking: object } }).kumaSidecarConfiguration.networking;
}

t.test('2.9 gives no delta, later ones do', async (t) => {
  for (const [version, apiType] of [
    ['2.9', 'GRPC'],
    ['2.12', 'DELTA_GRPC'],
    ['2.14', 'DELTA_GRPC'],
  ] as const) {
    const controlPlane = await startWith(t, { version });
    const answer = await post(controlPlane, { ...MINIMAL, caCert: controlPlane.caCert, features: ['feature-delta-grpc'] });
    t.match(documentIn(answer), { dynamicResources: { adsConfig: { apiType } } }, version);
  }
});

const RESOURCE = { type: 'ZoneEgress', name: 'egress-1', networking: { address: '127.0.0.2', port: 10002 } };
const MINIMAL = { name: 'egress-1', proxyType: 'egress', dataplaneToken: 'a.b.c', dataplaneResource: JSON.stringify(RESOURCE) };

t.test('with reloadable tokens and a token path the stream is googleGrpc', async (t) => {
  const { document, controlPlane, request } = await withTokenPath(t);
  const without = documentIn(await post(controlPlane, { ...request, dataplaneTokenPath: '' })) as Document;
  t.equal(without.staticResources.clusters.length, 2, 'without a token path it is envoyGrpc');
  t.same(
    document.staticResources.clusters.map(({ name }) => name),
    ['access_log_sink'],
  );
});

t.test('that stream is the one of Kuma’s golden file', withKuma, async (t) => {
  const { document, controlPlane } = await withTokenPath(t);
  const golden = new URL('bootstrap/generator.default-config-token-path.yaml', KUMA);
  const { dynamicResources } = parse(readFileSync(golden, 'utf8')) as Document;
  t.same(comparable(document.dynamicResources, controlPlane.port), comparable(dynamicResources, 5678));
});

async function withTokenPath(t: Test): Promise<{ document: Document; controlPlane: FakeControlPlane; request: object }> {
  const controlPlane = await startWith(t, { reloadableTokens: true, xdsHost: 'localhost' });
  const request = { ...MINIMAL, caCert: controlPlane.caCert, dataplaneTokenPath: '/path/to/file' };
  return { document: documentIn(await post(controlPlane, request)) as Document, controlPlane, request };
}

interface Document {
  readonly dynamicResources: unknown;
  readonly staticResources: { readonly clusters: readonly { readonly name: string }[] };
}

t.test('a recorded document leads to this control plane, with the token of the one who asks', async (t) => {
  const recordedBootstrap = readFileSync(`${FOLDER}bootstrap/kuma-dp.bootstrap.yaml`, 'utf8');
  const controlPlane = await startWith(t, { recordedBootstrap, xdsHost: '127.0.0.1' });
  const answer = await post(controlPlane, { ...MINIMAL, dataplaneToken: 'my.own.token', caCert: controlPlane.caCert });
  const expected = JSON.stringify(parse(recordedBootstrap))
    .replaceAll('"localhost"', '"127.0.0.1"')
    .replace('"portValue":5678', `"portValue":${controlPlane.port}`)
    .replace(/("inlineBytes":)"[^"]*"/, `$1"${Buffer.from(controlPlane.caCert).toString('base64')}"`)
    .replace(/("key":"authorization","value":)"[^"]*"/, '$1"my.own.token"');
  t.equal(JSON.stringify(documentIn(answer)), expected);
});

t.test('a control plane with a certificate of its own making needs no CA in the request; an issued one does', async (t) => {
  const own = await startWith(t, { certificate: 'self-signed' });
  t.equal((await post(own, MINIMAL)).status, 200);
  const issued = await startWith(t);
  t.match(await post(issued, MINIMAL), { status: 400, body: /^A data plane proxy is trying to verify the control plane/ });
});

t.test('answers what a test wants while it wants it', async (t) => {
  const controlPlane = await startWith(t, { zoneEgresses: ['egress-1'] });
  const request = { ...MINIMAL, dataplaneResource: '', caCert: controlPlane.caCert };
  controlPlane.refuseBootstrap({ status: 503, contentType: 'text/plain', body: 'no upstream' });
  t.same(await post(controlPlane, request), { status: 503, contentType: 'text/plain', body: 'no upstream' });
  controlPlane.refuseBootstrap(null);
  t.match(documentIn(await post(controlPlane, request)), { node: { id: '.egress-1' } });
  t.equal((await post(controlPlane, { ...request, name: 'egress-2' })).status, 404);
});
