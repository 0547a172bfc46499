// Real HTTP clients through the egress, to a service that only serves its own name.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Agent, fetch as undiciFetch, request as undiciRequest } from 'undici';
import t from 'tap';
import type { Test } from 'tap';
import { withCurl, withGo, withPython } from '../data.ts';
import { startHttpZone } from './http-zone.ts';
import { BOUND_MS } from './until.ts';
import { bodyOf, NAME, sha256, startSidecar, startVirtualHost } from './virtual-host.ts';
import type { VirtualHost } from './virtual-host.ts';

const SERVICES = ['http', 'http2'] as const;
const LARGE = 1_000_001;

/** Returns the stdout of a program that has to exit with 0. */
function run(program: string, args: readonly string[], cwd?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, encoding: 'latin1', maxBuffer: 64 * 1024 * 1024, timeout: BOUND_MS } as const;
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} ${args.join(' ')}: ${error.message}\n${stderr}`));
    });
  });
}

interface Setting {
  readonly t: Test;
  readonly base: string;
  readonly service: VirtualHost;
  readonly protocol: (typeof SERVICES)[number];
}

/** Runs with a service of HTTP/1.1 and with one of HTTP/2. */
async function withEach(t: Test, test: (setting: Setting) => Promise<void>): Promise<void> {
  for (const protocol of SERVICES) {
    await t.test(`a service of ${protocol}`, async (t) => {
      const service = await startVirtualHost(t, protocol);
      await using zone = await startHttpZone(t, service.port, { protocol });
      await using sidecar = await startSidecar(zone);
      await test({ t, base: `http://127.0.0.1:${sidecar.port}`, service, protocol });
    });
  }
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'zone-egress-clients-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('curl', withCurl, (t) =>
  withEach(t, async ({ t, base, service, protocol }) => {
    const folder = folderOf(t);
    const upload = join(folder, 'upload');
    writeFileSync(upload, bodyOf(0, LARGE));
    const digest = `${LARGE} ${sha256(bodyOf(0, LARGE))}`;
    for (const version of ['--http1.1', '--http2-prior-knowledge']) {
      const curl = (...args: string[]): Promise<string> => run('curl', ['-sS', version, ...args]);
      t.equal(await curl(`${base}/hello`), `hello from ${NAME}`, `${version}: the service knows the name`);
      t.equal(await curl('-T', upload, `${base}/hash`), digest, `${version}: an upload`);
      t.equal(await curl('-T', upload, '-H', 'Transfer-Encoding: chunked', `${base}/hash`), digest, `${version}: in chunks`);
      const waits = ['--data-binary', `@${upload}`, '-H', 'Expect: 100-continue', '--expect100-timeout', '60'];
      t.equal(await curl(...waits, `${base}/hash`), digest, `${version}: waits for 100`);
      t.match(await curl('-I', `${base}/bytes?1000`), /content-length: 1000\r\n/, `${version}: HEAD`);
      t.equal(await curl('-r', '10-19', `${base}/bytes?1000`), bodyOf(10, 20).toString('latin1'), `${version}: a range`);
      const hash = (text: string): string => sha256(Buffer.from(text, 'latin1'));
      t.equal(hash(await curl(`${base}/bytes?${LARGE}`)), sha256(bodyOf(0, LARGE)), `${version}: a large answer`);
      t.equal(hash(await curl(`${base}/stream?${LARGE}`)), sha256(bodyOf(0, LARGE)), `${version}: one without a length`);
      t.equal(await curl('-w', '%{http_code}', `${base}/status?204`), '204', version);
      t.equal(await curl('-w', '%{http_code}', `${base}/status?304`), '304', version);
      t.equal(await curl('-w', '%{http_code}', '-T', upload, `${base}/early`), 'too large413', `${version}: an early answer`);
      t.equal(await curl(`${base}/hints`), 'after hints', `${version}: 100 and 103 of the service stay behind`);
      if (protocol === 'http')
        t.equal(hash(await curl(`${base}/until-close?${LARGE}`)), sha256(bodyOf(0, LARGE)), `${version}: an end by closing`);
      // In HTTP/2, this client takes an end right after the last byte for an error of the next
      // request.
      if (version === '--http2-prior-knowledge') continue;
      t.equal(
        await curl('-w', '%{num_connects} ', `${base}/hello`, `${base}/hello`, '-o', join(folder, 'a'), '-o', join(folder, 'b')),
        '1 0 ',
        `${version}: keeps its connection`,
      );
    }
    t.ok(service.seen.length > 0);
  }),
);

t.test('undici and fetch', (t) =>
  withEach(t, async ({ t, base, service }) => {
    const dispatcher = new Agent();
    const response = await undiciFetch(`${base}/hash`, {
      method: 'POST',
      body: bodyOf(0, LARGE),
      dispatcher,
    });
    t.equal(await response.text(), `${LARGE} ${sha256(bodyOf(0, LARGE))}`);
    const { body } = await undiciRequest(`${base}/echo`, {
      method: 'POST',
      body: Readable.from(Array.from({ length: 100 }, (_, i) => bodyOf(i * 10_000, (i + 1) * 10_000))),
      dispatcher,
    });
    const hash = createHash('sha256');
    for await (const chunk of body) hash.update(chunk as Buffer);
    t.equal(hash.digest('hex'), sha256(bodyOf(0, 1_000_000)), 'a body in pieces comes back');
    const events = await undiciFetch(`${base}/events`, { dispatcher });
    const reader = (events.body as ReadableStream<Uint8Array>).getReader();
    for (let i = 1; i <= 3; i++) {
      t.equal(Buffer.from((await reader.read()).value ?? []).toString(), `data: ${i}\n\n`, 'an event comes when it is sent');
      service.nextEvent();
    }
    await reader.cancel();
    const all = await Promise.all(
      Array.from({ length: 50 }, async () => (await undiciFetch(`${base}/hello`, { dispatcher })).text()),
    );
    t.ok(all.every((text) => text === `hello from ${NAME}`));
    await dispatcher.destroy();
  }),
);

const GO = `package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
)

func fail(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func main() {
	base, large := os.Args[1], make([]byte, ${LARGE})
	for i := range large {
		large[i] = byte(i % 251)
	}
	for _, h2 := range []bool{false, true} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!h2)
		protocols.SetUnencryptedHTTP2(h2)
		client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
		for _, framing := range []string{"length", "chunked", "expect"} {
			var body io.Reader = bytes.NewReader(large)
			if framing == "chunked" {
				body = io.MultiReader(body)
			}
			request, err := http.NewRequest("POST", base+"/hash", body)
			fail(err)
			if framing == "expect" {
				request.Header.Set("Expect", "100-continue")
			}
			response, err := client.Do(request)
			fail(err)
			text, err := io.ReadAll(response.Body)
			fail(err)
			fmt.Printf("%v %s %d %s\\n", h2, framing, response.StatusCode, text)
		}
		for _, path := range []string{"/stream?${LARGE}", "/bytes?${LARGE}", "/hello", "/status?204"} {
			response, err := client.Get(base + path)
			fail(err)
			text, err := io.ReadAll(response.Body)
			fail(err)
			fmt.Printf("%v %s %d %d %x\\n", h2, path, response.StatusCode, len(text), sha256.Sum256(text))
		}
	}
}
`;

t.test('net/http of Go', withGo, async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, 'main.go'), GO);
  await run('go', ['build', '-o', 'client', 'main.go'], folder);
  await withEach(t, async ({ t, base }) => {
    const hello = Buffer.from(`hello from ${NAME}`);
    const large = bodyOf(0, LARGE);
    t.strictSame(
      (await run(join(folder, 'client'), [base])).trimEnd().split('\n'),
      [false, true].flatMap((h2) => [
        ...['length', 'chunked', 'expect'].map((framing) => `${h2} ${framing} 200 ${LARGE} ${sha256(large)}`),
        ...['stream', 'bytes'].map((path) => `${h2} /${path}?${LARGE} 200 ${LARGE} ${sha256(large)}`),
        `${h2} /hello 200 ${hello.length} ${sha256(hello)}`,
        `${h2} /status?204 204 0 ${sha256(Buffer.alloc(0))}`,
      ]),
    );
  });
});

const PYTHON = `
import hashlib, http.client, sys
large = bytes(i % 251 for i in range(${LARGE}))
connection = http.client.HTTPConnection(sys.argv[1])
def ask(method, path, body=None, **more):
    connection.request(method, path, body, **more)
    answer = connection.getresponse()
    text = answer.read()
    print(path, answer.status, len(text), hashlib.sha256(text).hexdigest())
ask('POST', '/echo', large)
ask('POST', '/echo', (large[i:i + 70000] for i in range(0, len(large), 70000)), encode_chunked=True)
ask('HEAD', '/bytes?1000')
ask('GET', '/bytes?${LARGE}')
ask('GET', '/status?304')
`;

t.test('http.client of Python', withPython, (t) =>
  withEach(t, async ({ t, base }) => {
    const line = (path: string, status: number, body: Buffer): string => `${path} ${status} ${body.length} ${sha256(body)}`;
    t.strictSame((await run('python3', ['-c', PYTHON, base.replace('http://', '')])).trimEnd().split('\n'), [
      line('/echo', 200, bodyOf(0, LARGE)),
      line('/echo', 200, bodyOf(0, LARGE)),
      line('/bytes?1000', 200, Buffer.alloc(0)),
      line(`/bytes?${LARGE}`, 200, bodyOf(0, LARGE)),
      line('/status?304', 304, Buffer.alloc(0)),
    ]);
  }),
);
