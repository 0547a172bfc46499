import fc from 'fast-check';
import t from 'tap';
import { sessionFields } from '../../src/observe/session-line.ts';
import { sessionRecord } from './record.ts';

const parsed = (fields: string): Record<string, unknown> => JSON.parse(`{${fields}}`) as Record<string, unknown>;

t.test('the fields of a record are its own, in its order, and JSON', async (t) => {
  const record = sessionRecord({ spiffeIds: ['spiffe://default/a', 'spiffe://default/b'], limit: 'rate', shadowDenied: true });
  const fields = parsed(sessionFields(record, '2026-01-01T00:00:00.000Z'));
  t.strictSame(fields, { ...record, startedAt: '2026-01-01T00:00:00.000Z' });
  t.strictSame(Object.keys(fields), Object.keys(record));
  t.notOk('limit' in parsed(sessionFields(sessionRecord(), '')));
});

t.test('whatever a text is made of, the line stays one line of JSON, and printable', async (t) => {
  const hostile = fc.string({ unit: 'binary', maxLength: 2_000 });
  const texts = fc.record({
    detail: hostile,
    sni: hostile,
    mesh: hostile,
    destination: hostile,
    cluster: hostile,
    permission: hostile,
    certificateIssuer: hostile,
    alpn: fc.array(hostile, { maxLength: 20 }),
    spiffeIds: fc.array(hostile, { maxLength: 20 }),
    uris: fc.array(hostile, { maxLength: 20 }),
  });
  const property = fc.property(texts, (changes) => {
    const line = sessionFields(sessionRecord(changes), '');
    if (!/^[\x20-\x7e]*$/.test(line)) return false;
    const fields = parsed(line);
    return Object.entries(changes).every(([name, value]) => {
      const most = ['detail', 'destination', 'cluster', 'permission', 'certificateIssuer'].includes(name) ? 1_024 : 255;
      const wanted = typeof value === 'string' ? shown(value, most) : value.slice(0, 16).map((each) => shown(each, most));
      return JSON.stringify(fields[name]) === JSON.stringify(wanted);
    });
  });
  t.doesNotThrow(() => fc.assert(property));
});

t.test('quotes and backslashes are kept', async (t) => {
  const detail = 'no route has the SNI "a\\b"';
  t.equal(parsed(sessionFields(sessionRecord({ detail }), '')).detail, detail);
});

/** Each UTF-16 unit on its own. */
function shown(value: string, most: number): string {
  let text = '';
  for (const char of value.slice(0, most).split('')) {
    const code = char.charCodeAt(0);
    text += code >= 0x20 && code <= 0x7e ? char : `\\x${code.toString(16).padStart(2, '0')}`;
  }
  return text.slice(0, most);
}
