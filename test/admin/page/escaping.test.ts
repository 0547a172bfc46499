// Every text that the page shows comes from a peer, a file or a control plane, and may be hostile:
// each field in turn, and all at once, must stay text.
import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { askedPage } from '../../../src/admin/page/asked-page.ts';
import { explainPage } from '../../../src/admin/page/explain-page.ts';
import type { PageFacts } from '../../../src/admin/page/facts.ts';
import { zonePage } from '../../../src/admin/page/zone-page.ts';
import { createTestMesh } from '../../../src/testing/egress/test-mesh.ts';
import { requestRecord } from '../../observe/record.ts';
import { hostileFacts, largeZone, PAYLOAD } from './large-zone.ts';

const PAGE = new URL('../../../src/admin/page/', import.meta.url);
const TAGS = new Set(
  'a b body button circle code dd details div dl dt figcaption figure footer form g h1 h2 head header html input label li link main meta nav ol option p path rect script section select small span summary svg table tbody td text th thead time title tr ul'.split(
    ' ',
  ),
);
const ATTRIBUTES = new Set(
  'action aria-label aria-labelledby aria-pressed aria-sort autocapitalize autocomplete charset class content cx cy d data-key data-live data-news data-part data-refresh datetime defer height hidden href id lang method name open placeholder preserveaspectratio r rel role rx scope selected spellcheck src stroke-width tabindex text-anchor title type value viewbox width x y'.split(
    ' ',
  ),
);

/** Returns what a browser would read as an element or attribute that the page does not write. */
function strangers(html: string): readonly string[] {
  const found: string[] = [];
  for (const [tag] of html.matchAll(/<[^>]*(?:>|$)/g)) {
    if (/^<!doctype html>$/i.test(tag)) continue;
    const [, name = ''] = /^<\/?([A-Za-z0-9]+)(?:\s+[A-Za-z-]+(?:="[^"<>]*")?)*\s*\/?>$/.exec(tag) ?? [];
    if (!TAGS.has(name) || (name === 'script' && !/^<(?:\/script|script src="\/page\/console\.js" defer)>$/.test(tag)))
      found.push(tag.slice(0, 100));
    for (const [, attribute = ''] of tag.replace(/="[^"]*"/g, '').matchAll(/\s([A-Za-z-]+)/g))
      if (!ATTRIBUTES.has(attribute.toLowerCase())) found.push(`${attribute} in ${tag.slice(0, 100)}`);
  }
  for (const [, to = ''] of html.matchAll(/ (?:href|src|action)="([^"]*)"/g)) if (!/^(?:\/(?!\/)|#)/.test(to)) found.push(to);
  return found;
}

t.test('what the test looks for is found', async (t) => {
  for (const html of [
    PAYLOAD,
    `<p title="${PAYLOAD}">`,
    '<a href="javascript:x()">',
    '<p onclick="x">',
    '<script>',
    '<p style="x">',
  ])
    t.not(strangers(html).length, 0, html);
});

t.test('no field of any fact becomes markup', async (t) => {
  const { facts } = await largeZone();
  const plain = await zonePage(facts, askedPage(''), '');
  t.strictSame(strangers(plain.text), []);
  t.notOk(plain.text.includes('onerror'));
  const mesh = await createTestMesh('default', { keyType: 'ec' });
  const cert = mesh.issue({ uris: [`spiffe://default/${PAYLOAD}`], dns: [PAYLOAD], subject: [['CN', PAYLOAD]] }).cert;
  const hostile: PageFacts = {
    ...hostileFacts(facts),
    requests: () => [requestRecord({ reason: 'denied', path: `/${PAYLOAD}`, method: PAYLOAD, authority: PAYLOAD, detail: '' })],
    credentials: () => [{ mesh: PAYLOAD, cert, trust: cert }],
  };
  const query = new URLSearchParams(
    ['find', 'open', 'mesh', 'destination', 'client', 'reason'].map((name): [string, string] => [name, PAYLOAD]),
  );
  for (const search of ['', '?limit=1000', `?${query.toString()}`]) {
    const { text } = await zonePage(hostile, askedPage(search), PAYLOAD);
    t.strictSame(strangers(text), [], search);
    t.ok(text.includes('onerror=&quot;'), 'it is shown as text');
    t.notMatch(text, /[\u202a-\u202e\u2066-\u2069]/, 'and cannot change the direction of what follows');
  }
  for (const question of [
    'id=0.5001',
    'id=0.5000',
    `sni=${encodeURIComponent(PAYLOAD)}`,
    `sni=a&from=${encodeURIComponent(PAYLOAD)}`,
  ]) {
    const { body } = explainPage((each) => hostile.explain(each), question);
    t.strictSame(strangers(body), [], question);
    t.ok(body.includes('&lt;img'), question);
  }
});

t.test('a zone with 10 meshes and 200 services is folded, searched and opened, and stays small', async (t) => {
  const { facts } = await largeZone();
  const part = async (search: string): Promise<string> => (await zonePage(facts, askedPage(search), '')).text;
  const rows = (text: string): number => [...text.matchAll(/class="node (?:good|some|none)/g)].length / 2;
  const folded = await part('?part=map');
  t.ok(rows(folded) <= 40, `${rows(folded)} destinations are drawn`);
  t.equal([...folded.matchAll(/and 17 more/g)].length, 20, 'the rest of each mesh is one line, in both widths');
  t.match(folded, /api in mesh default: 1 of 1 endpoint usable, [^"]* refused in the last 5 minutes/, 'trouble comes first');
  const opened = await part('?part=map&open=search');
  t.equal([...opened.matchAll(/data-key="search /g)].length / 2, 20, 'all of one mesh');
  t.equal(rows(await part('?part=map&find=fraud')), 20, 'two services of each mesh');
  t.match(await part('?part=map&find=none-such'), /No mesh and no destination/);
  const whole = await part('');
  const files = ['console.css', 'console.js', 'icon.svg'].map((name) => readFileSync(new URL(name, PAGE)).length);
  const bytes = files.reduce((sum, each) => sum + each, Buffer.byteLength(whole));
  t.ok(bytes < 150 * 1_024, `${bytes} bytes with its files`);
});

t.test('an egress whose page is never opened loads none of its code', async (t) => {
  const sources = globSync('src/**/*.ts').filter((path) => !path.startsWith('src/admin/page/'));
  const loads = sources.flatMap((path) => {
    const text = readFileSync(path, 'utf8').replace(/^import type .*$/gm, '');
    return [...text.matchAll(/^import [^;]*\bpage\/([a-z-]+)\.ts';$/gm)].map(([, name = '']) => `${path}: ${name}`);
  });
  t.strictSame(loads, ['src/admin/server.ts: paths'], 'only the list of its paths');
  t.notMatch(readFileSync(new URL('paths.ts', PAGE), 'utf8'), /^import/m);
});
