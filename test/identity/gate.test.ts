/** What is remembered of a certificate that passed, and what is not. */
import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { createGate } from '../../src/identity/gate.ts';
import { verifyClient } from '../../src/identity/verify.ts';
import { meshName } from '../../src/model/names.ts';
import type { PeerFacts } from '../../src/model/client.ts';
import { createTestMesh } from '../../src/testing/egress/test-mesh.ts';

const mesh = await createTestMesh('default', { keyType: 'ec' });
const certificate = new X509Certificate(mesh.client('frontend').cert);
const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
const now = Math.round((from + to) / 2);
const facts = (changes: Partial<PeerFacts> = {}): PeerFacts => ({
  certificate,
  authorized: true,
  authorizationError: null,
  nowMs: now,
  ...changes,
});
const name = meshName('default');

t.test('the second time the same client comes out, without another look at the certificate', async (t) => {
  const gate = createGate();
  const first = gate(name, facts());
  t.strictSame(first, verifyClient(name, facts()));
  // A new object of only the same bytes, as each connection has.
  const again = gate(name, facts({ certificate: { raw: Buffer.from(certificate.raw) } as X509Certificate }));
  t.equal(again.kind === 'verified' && first.kind === 'verified' && again.client === first.client, true);
});

t.test('OpenSSL, the time and the mesh are asked each time', async (t) => {
  const gate = createGate();
  const cases: readonly [string, ReturnType<typeof meshName>, PeerFacts][] = [
    ['a chain that OpenSSL refuses', name, facts({ authorized: false, authorizationError: 'CERT_SIGNATURE_FAILURE' })],
    ['after its end', name, facts({ nowMs: to + 1_000 })],
    ['before its beginning', name, facts({ nowMs: from - 1_000 })],
    ['another mesh', meshName('payments'), facts()],
    ['no certificate', name, facts({ certificate: undefined })],
  ];
  for (const [what, of, peer] of cases) {
    t.equal(gate(name, facts()).kind, 'verified', 'known');
    const outcome = gate(of, peer);
    t.strictSame(outcome, verifyClient(of, peer), what);
    t.equal(outcome.kind, 'rejected', what);
  }
});

t.test('one byte more or less is another certificate', async (t) => {
  const gate = createGate();
  gate(name, facts());
  const raw = Buffer.from(certificate.raw);
  for (const other of [Buffer.concat([raw, Buffer.alloc(1)]), raw.subarray(0, -1)]) {
    const peer = facts({ certificate: Object.defineProperty(new X509Certificate(certificate.raw), 'raw', { value: other }) });
    t.match(gate(name, peer), { kind: 'rejected', refusal: { code: 'client-not-trusted' } });
  }
});
