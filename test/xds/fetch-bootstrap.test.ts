/**
 * The bootstrap over real HTTPS: every answer of a real control plane, and the other faults of a
 * network.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import type { Test } from 'tap';
import { generateKey, issueCertificate, selfSigned } from '../../src/identity/issue.ts';
import { FakeClock } from '../../src/testing/fake-clock.ts';
import { createFakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import type { Bootstrap } from '../../src/xds/bootstrap/bootstrap.ts';
import type { BootstrapProblem } from '../../src/xds/bootstrap/bootstrap-problem.ts';
import type { ControlPlaneOptions } from '../../src/xds/bootstrap/control-plane-options.ts';
import { BootstrapError } from '../../src/xds/bootstrap/bootstrap-problem.ts';
import { fetchBootstrap } from '../../src/xds/bootstrap/fetch-bootstrap.ts';
import { LIVE } from '../data.ts';
import { freePort } from '../free-ports.ts';

const CASES = new URL('bootstrap/cases/', LIVE);
const DAY_MS = 24 * 3_600_000;
const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJab25lIjoiem9uZS0xIn0.c2lnbmF0dXJl';

const now = Date.now();
const dates = { notBefore: now - DAY_MS, notAfter: now + DAY_MS };
const authority = selfSigned({
  ...dates,
  key: await generateKey('ec'),
  subject: [['CN', 'control plane CA']],
  ca: { pathLength: null },
});
const key = await generateKey('ec');
const cert = issueCertificate({
  ...dates,
  caCert: authority.cert,
  caKey: authority.key,
  publicKey: key,
  dns: ['localhost'],
  ips: ['127.0.0.1'],
  eku: ['serverAuth'],
});
const tls = { cert, key: key.export({ type: 'pkcs8', format: 'pem' }) };

const DOCUMENT = `dynamicResources:
  adsConfig:
    apiType: GRPC
    grpcServices: [{envoyGrpc: {clusterName: ads_cluster}}]
node: {id: .egress-1, cluster: egress}
staticResources:
  clusters:
  - name: ads_cluster
    loadAssignment: {endpoints: [{lbEndpoints: [{endpoint: {address: {socketAddress: {address: localhost, portValue: 5678}}}}]}]}
`;

interface Answer {
  readonly status: number;
  readonly contentType?: string | null;
  readonly body: string;
}

const GOOD: Answer = { status: 200, contentType: 'application/json', body: bodyOf(DOCUMENT) };

function bodyOf(yaml: string): string {
  return JSON.stringify({ bootstrap: Buffer.from(yaml).toString('base64'), kumaSidecarConfiguration: {} });
}

interface Asked {
  readonly request: IncomingMessage;
  readonly body: string;
}

interface ControlPlane {
  readonly url: string;
  readonly asked: readonly Asked[];
  readonly server: Server;
}

/** Answers in order; repeats the last answer. */
async function controlPlane(t: Test, answers: readonly Answer[]): Promise<ControlPlane> {
  const asked: Asked[] = [];
  return serve(t, asked, (request, response) => {
    void text(request).then((body) => {
      asked.push({ request, body });
      const { status, contentType, body: said } = answers[Math.min(asked.length, answers.length) - 1] ?? GOOD;
      response.writeHead(status, contentType ? { 'content-type': contentType } : {}).end(said);
    });
  });
}

async function serve(t: Test, asked: readonly Asked[], listener: RequestListener, plain = false): Promise<ControlPlane> {
  const server = plain ? createHttpServer(listener) : createServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `${plain ? 'http' : 'https'}://localhost:${port}`, asked, server };
}

function optionsFor(url: string, more: Partial<ControlPlaneOptions> = {}): ControlPlaneOptions {
  return {
    url,
    caCert: authority.cert,
    systemTrust: null,
    skipVerify: false,
    token: () => Promise.resolve(TOKEN),
    name: 'egress-1',
    resource: null,
    retryBackoffMs: 3_000,
    retryMaxMs: 300_000,
    readinessPort: 9_902,
    drainTimeMs: 30_000,
    systemCaPath: '',
    ipv6Enabled: true,
    maxHeapSizeBytes: 0,
    dynamicMetadata: {},
    warnings: [],
    ...more,
  };
}

interface Fetched {
  readonly outcome: Bootstrap | BootstrapError;
  /** The reports between the attempts. */
  readonly problems: readonly (BootstrapProblem & { readonly attempt: number; readonly retryInMs: number })[];
  /** When the attempts ended, in fake time. */
  readonly tookMs: number;
}

/** Waits between attempts pass at once. */
async function fetched(t: Test, options: ControlPlaneOptions): Promise<Fetched> {
  const clock = new FakeClock();
  const problems: Fetched['problems'][number][] = [];
  const outcome = await fetchBootstrap({
    controlPlane: options,
    version: '1.2.3',
    operatingSystem: 'linux',
    clock,
    onRetry(problem) {
      problems.push(problem);
      setImmediate(() => clock.advance(problem.retryInMs));
    },
  }).catch((error: unknown) => {
    if (error instanceof BootstrapError) return error;
    throw error;
  });
  t.equal(clock.timers, 0, 'no timer is left');
  for (const { message } of [...problems, ...(outcome instanceof Error ? [outcome] : [])]) t.notMatch(message, TOKEN);
  return { outcome, problems, tookMs: clock.now() };
}

interface Case {
  readonly case: string;
  readonly status: number;
  readonly content_type: string | null;
  readonly body: string;
}

const TOKEN_REQUIRED =
  /refused the bootstrap \(422\): Dataplane Token is required\. Generate token using 'kumactl generate dataplane-token/;
const NOT_A_CA =
  /refused the bootstrap \(400\): A data plane proxy is trying to verify the control plane using the certificate which is not a certificate authority/;
const UNREADABLE = /refused the bootstrap \(400\): it could not read the request/;
const NO_REASON = /refused the bootstrap \(500\): its log says why/;
const YAML = /YAML in place of JSON/;

/**
 * For each recorded case that is not read: the operator's message, and whether it is tried again.
 */
const VERDICTS: Readonly<Record<string, readonly [code: BootstrapProblem['code'], isRetried: boolean, message: RegExp]>> = {
  'ok-minimal-without-ca-cert': ['refused', false, NOT_A_CA],
  'ok-no-accept-header': ['bad-answer', false, YAML],
  'ok-accept-any': ['bad-answer', false, YAML],
  'no-token-no-token-path': ['refused', false, TOKEN_REQUIRED],
  'unknown-name-without-resource': [
    'not-found-yet',
    true,
    /the control plane has no ZoneEgress "egress-1" yet: create it there, or bring it with --dataplane-file/,
  ],
  'resource-of-other-type': ['server-error', true, NO_REASON],
  'resource-without-port': ['refused', false, /\(422\): networking\.port: port must be in the range \[1, 65535\]$/],
  'resource-address-0.0.0.0': ['refused', false, /\(422\): networking\.address\.address: must not be 0\.0\.0\.0 or ::$/],
  'resource-admin-port-equals-port': ['refused', false, /\(422\): networking\.admin\.port: must differ from port$/],
  'resource-not-json': ['server-error', true, NO_REASON],
  'name-missing': ['server-error', true, NO_REASON],
  'proxytype-missing': ['server-error', true, NO_REASON],
  'proxytype-unknown': ['server-error', true, NO_REASON],
  'body-not-json': ['refused', false, UNREADABLE],
  'body-empty': ['refused', false, UNREADABLE],
  'get-instead-of-post': ['refused', false, UNREADABLE],
  'wrong-path': [
    'no-endpoint',
    false,
    /has no \/bootstrap: give --cp-address the data plane server of the zone control plane \(port 5678\)/,
  ],
  'host-not-in-cert': [
    'refused',
    false,
    /\(400\): A data plane proxy is trying to connect to the control plane using "kuma-control-plane\.example" address[\s\S]*3\) Restart the control plane/,
  ],
  'ca-cert-not-a-ca': ['refused', false, NOT_A_CA],
  'ca-cert-garbage': ['server-error', true, NO_REASON],
};

t.test('every answer of a real control plane has its text, and is tried again or not, as kuma-dp does', async (t) => {
  const cases = JSON.parse(readFileSync(new URL('index.json', CASES), 'utf8')) as readonly Case[];
  t.equal(cases.length, 35);
  const recorded = (name: string): string => readFileSync(new URL(name, CASES), 'utf8');
  for (const each of cases) {
    const isRead = each.status === 200;
    const yaml = recorded(each.body.endsWith('.yaml') ? each.body : 'ok-minimal.bootstrap.yaml');
    const body = !isRead ? each.body : each.content_type === 'text/x-yaml' ? yaml : bodyOf(yaml);
    const { url, asked } = await controlPlane(t, [{ status: each.status, contentType: each.content_type, body }, GOOD]);
    const { outcome, problems } = await fetched(t, optionsFor(url));
    const verdict = VERDICTS[each.case];
    if (verdict === undefined) {
      t.match(outcome, { node: { id: /^\.egress-/ } }, each.case);
      t.equal(asked.length, 1, `${each.case}: asked once`);
      continue;
    }
    const [code, isRetried, message] = verdict;
    const said = isRetried ? problems[0] : outcome;
    t.match(said, { code, message }, each.case);
    t.equal(asked.length, isRetried ? 2 : 1, `${each.case}: ${isRetried ? 'tried again' : 'not tried again'}`);
    if (isRetried) t.match(outcome, { node: { id: '.egress-1' } }, `${each.case}: and then it is there`);
  }
});

t.test('it is asked as Kuma wants it: exactly this path and these headers', async (t) => {
  const { url, asked } = await controlPlane(t, [GOOD]);
  const { outcome } = await fetched(t, optionsFor(`${url}/some/path`));
  t.match(outcome, { node: { id: '.egress-1' } });
  const [{ request, body }] = asked as readonly [Asked];
  t.match({ method: request.method, url: request.url }, { method: 'POST', url: '/bootstrap' });
  t.match(request.headers, { accept: 'application/json', 'content-type': 'application/json', host: new URL(url).host });
  t.equal(request.headers['content-length'], String(Buffer.byteLength(body)));
  t.match(JSON.parse(body), { name: 'egress-1', proxyType: 'egress', dataplaneToken: TOKEN, caCert: authority.cert });
});

t.test('it is tried every 3 s, a last time when the 5 min are over, and then it is an error', async (t) => {
  const { url, asked } = await controlPlane(t, [{ status: 503, body: 'not now' }]);
  const { outcome, problems, tookMs } = await fetched(t, optionsFor(url, { retryMaxMs: 10_000 }));
  t.match(outcome, {
    code: 'server-error',
    attempts: 5,
    message: /refused the bootstrap \(503\): not now \(given up after 5 tries in 10 s\)$/,
  });
  t.same(
    problems.map(({ attempt, retryInMs }) => [attempt, retryInMs]),
    [
      [1, 3_000],
      [2, 3_000],
      [3, 3_000],
      [4, 1_000],
    ],
  );
  t.equal(tookMs, 10_000);
  t.equal(asked.length, 5);
});

t.test('the API of a control plane in place of its data plane server is reported and tried again, as kuma-dp does', async (t) => {
  const { url } = await controlPlane(t, [{ status: 404, body: '404: Page Not Found' }, GOOD]);
  const { problems } = await fetched(t, optionsFor(url));
  t.match(problems, [{ code: 'no-endpoint', message: /not its API \(5681\) and not the global one/ }]);
});

t.test('the token is sent only to a verified server', async (t) => {
  const { url, asked } = await controlPlane(t, [GOOD]);
  const short = { retryMaxMs: 1 };
  const other = selfSigned({
    ...dates,
    key: await generateKey('ec'),
    subject: [['CN', 'other']],
    ca: { pathLength: null },
  });
  const { outcome } = await fetched(t, optionsFor(url, { ...short, caCert: other.cert }));
  t.match(outcome, { code: 'not-trusted', message: /is not signed by a trusted CA \([A-Z_]+\): give --ca-cert-file the CA/ });

  const { caCert: _, ...noCa } = optionsFor(url, short);
  t.match((await fetched(t, noCa)).outcome, { code: 'not-trusted' }, 'by default');
  const renamed = await fetched(t, optionsFor(url.replace('localhost', '127.0.0.2'), short));
  t.match(renamed.outcome, { code: /not-trusted|no-connection/ });
  t.equal(asked.length, 0, 'nothing was asked, so nothing was told');

  t.match((await fetched(t, { ...noCa, systemTrust: authority.cert })).outcome, { node: {} }, 'the authorities of the system');
  t.match((await fetched(t, optionsFor(url.replace('localhost', '127.0.0.1')))).outcome, { node: {} }, 'by its address');
  t.match((await fetched(t, { ...noCa, skipVerify: true })).outcome, { node: {} }, '--skip-verify');
  t.equal(asked.length, 3);
});

t.test('a certificate for another name is reported', async (t) => {
  const { server } = await controlPlane(t, [GOOD]);
  (server as ReturnType<typeof createServer>).setSecureContext({
    key: tls.key,
    cert: issueCertificate({ ...dates, caCert: authority.cert, caKey: authority.key, publicKey: key, dns: ['cp.example'] }),
  });
  const { port } = server.address() as AddressInfo;
  const { outcome } = await fetched(t, optionsFor(`https://localhost:${port}`, { retryMaxMs: 1 }));
  t.match(outcome, { code: 'not-trusted', message: /its certificate is for another name: .*cp\.example/ });
});

t.test('without TLS it is asked all the same, as kuma-dp does', async (t) => {
  const { url } = await serve(t, [], (request, response) => void text(request).then(() => response.end(GOOD.body)), true);
  t.match((await fetched(t, optionsFor(url))).outcome, { node: { id: '.egress-1' } });
  const { outcome } = await fetched(t, optionsFor(url.replace('http:', 'https:'), { retryMaxMs: 1 }));
  t.match(outcome, { code: 'no-connection', message: /does not speak TLS as expected: is the port right/ });
});

t.test('the token is read anew for each try; one that is not to be had may come', async (t) => {
  const { url, asked } = await controlPlane(t, [{ status: 500, body: '' }, GOOD]);
  const tokens = [TOKEN, new Error('token under file /t is empty'), `${TOKEN}2`];
  const token = (): Promise<string> => {
    const next = tokens.shift() ?? '';
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  const { outcome, problems } = await fetched(t, optionsFor(url, { token }));
  t.match(outcome, { node: { id: '.egress-1' } });
  t.match(problems, [{ code: 'server-error' }, { code: 'no-token', message: 'token under file /t is empty' }]);
  t.same(
    asked.map(({ body }) => (JSON.parse(body) as { dataplaneToken: string }).dataplaneToken),
    [TOKEN, `${TOKEN}2`],
  );
});

t.test('an answer that quotes the token is shown without it', async (t) => {
  const { url } = await controlPlane(t, [{ status: 403, body: `\u001b[31mno: ${TOKEN}\u0000` }]);
  t.match((await fetched(t, optionsFor(url))).outcome, { code: 'refused', message: /\(403\): \[31mno: \[token\]$/ });
});

t.test('a document that has the token anywhere is shown without it', async (t) => {
  const { url } = await controlPlane(t, [
    { ...GOOD, body: bodyOf(`${DOCUMENT}layeredRuntime: {layers: [{name: "x ${TOKEN}"}]}\n`) },
  ]);
  const { outcome } = await fetched(t, optionsFor(url));
  t.match(outcome, { document: { layeredRuntime: { layers: [{ name: 'x [redacted]' }] } }, node: { id: '.egress-1' } });
});

t.test('who does not answer within 10 s, who says too much, who hangs up: tried again', async (t) => {
  const silent = await serve(t, [], () => {});
  const clock = new FakeClock();
  const aborted = new AbortController();
  const told: BootstrapProblem[] = [];
  silent.server.on('request', () => clock.advance(10_000));
  const fetching = fetchBootstrap({
    controlPlane: optionsFor(silent.url),
    version: '1',
    operatingSystem: 'linux',
    clock,
    signal: aborted.signal,
    onRetry(problem) {
      told.push(problem);
      aborted.abort(new Error('enough'));
    },
  });
  await t.rejects(fetching, { message: 'enough' });
  t.match(told, [{ code: 'no-connection', message: /: no answer within 10 s$/ }]);
  t.equal(clock.timers, 0);

  const large = await controlPlane(t, [{ status: 200, body: 'x'.repeat(5 * 1024 * 1024) }]);
  t.match((await fetched(t, optionsFor(large.url, { retryMaxMs: 1 }))).outcome, {
    code: 'no-connection',
    message: /larger than 4194304 bytes/,
  });

  const rude = await serve(t, [], (_request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(200, { 'content-length': '100' }).write('half', () => response.destroy());
  });
  t.match((await fetched(t, optionsFor(rude.url, { retryMaxMs: 1 }))).outcome, { code: 'no-connection' });

  const odd = await serve(t, [], ({ socket }: IncomingMessage) => {
    socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n');
  });
  t.match((await fetched(t, optionsFor(odd.url, { retryMaxMs: 1 }))).outcome, {
    code: 'no-connection',
    message: /the answer has status 101, which changes the protocol/,
  });

  const nobody = `https://localhost:${await freePort()}`;
  t.match((await fetched(t, optionsFor(nobody, { retryMaxMs: 1 }))).outcome, { code: 'no-connection', message: /ECONNREFUSED/ });
});

t.test('an abort ends it at once, in the middle of a request and between two', async (t) => {
  const reason = new Error('drained');
  const clock = new FakeClock();
  const during = new AbortController();
  const silent = await serve(t, [], () => during.abort(reason));
  const base = { version: '1', operatingSystem: 'linux', clock, onRetry: () => {} };
  await t.rejects(fetchBootstrap({ ...base, controlPlane: optionsFor(silent.url), signal: during.signal }), reason);

  const between = new AbortController();
  const busy = await controlPlane(t, [{ status: 500, body: '' }]);
  const onRetry = (): void => void setImmediate(() => between.abort(reason));
  await t.rejects(fetchBootstrap({ ...base, onRetry, controlPlane: optionsFor(busy.url), signal: between.signal }), reason);
  t.equal(busy.asked.length, 1);
  await t.rejects(fetchBootstrap({ ...base, controlPlane: optionsFor(busy.url), signal: between.signal }), reason);
  t.equal(busy.asked.length, 1, 'one that is aborted already asks nothing');
  t.equal(clock.timers, 0);
});

t.test('a CA that is no certificate is an error before anything is asked', async (t) => {
  const { url, asked } = await controlPlane(t, [GOOD]);
  t.match((await fetched(t, optionsFor(url, { caCert: 'abc' }))).outcome, { code: 'bad-ca', message: /--ca-cert-file/ });
  t.equal(asked.length, 0);
});

t.test('the fake control plane is asked and read like a real one, in all its versions', async (t) => {
  for (const version of ['2.9', '2.12', '2.14'] as const) {
    for (const reloadableTokens of [false, true]) {
      await using fake = await createFakeControlPlane({ version, reloadableTokens, zoneEgresses: ['egress-1'] });
      const { outcome } = await fetched(t, optionsFor(fake.url, { caCert: fake.caCert, tokenPath: '/t' }));
      t.match(outcome, {
        node: { id: '.egress-1' },
        ads: {
          target: { host: '127.0.0.1', port: fake.port },
          tls: { kind: 'tls', ca: fake.caCert, serverName: null },
          auth: reloadableTokens ? { kind: 'file', path: '/t' } : { kind: 'inline', token: TOKEN },
        },
        readinessPort: 9_902,
      });
    }
  }
});
