import { existsSync, readdirSync } from 'node:fs';
import t from 'tap';
import type { ProblemReason } from '../../src/xds/stream/stream-problem.ts';
import { explainDeletion, explainEnd } from '../../src/xds/stream/stream-problem.ts';
import { DEV, LIVE } from '../data.ts';
import { linesOf } from './recorded.ts';

const EXPECTED: Readonly<Record<string, ProblemReason>> = {
  'bad-signature': 'token-invalid',
  'bearer-prefix': 'token-invalid',
  'dataplane-token': 'token-invalid',
  'expired-token': 'token-expired',
  'garbage-token': 'token-invalid',
  'id-with-mesh': 'name-mismatch',
  'id-without-dot': 'node-id-invalid',
  'no-token': 'token-invalid',
  'node-id-changes': 'node-id-changed',
  'other-zone': 'token-of-other-zone',
  'proxytype-dataplane': 'not-an-egress',
  'proxytype-missing': 'not-an-egress',
  'reconnect-again': 'busy',
  'reconnect-at-once': 'busy',
  'resource-name-mismatch': 'name-mismatch',
  'scope-ingress': 'token-out-of-scope',
  'second-stream-b': 'busy',
  'second-stream-c-after-close': 'busy',
  'two-authorization-headers': 'token-invalid',
  'unknown-name-no-resource': 'name-not-found',
  // Of a Dataplane, at a control plane of 3.0.
  'duplicate-listener': 'name-not-found',
  'id-without-mesh': 'name-mismatch',
  'mesh-unknown': 'token-invalid',
  'proxytype-egress': 'mesh-scoped-only',
  'proxytype-egress-zoneegress-resource': 'mesh-scoped-only',
  'resource-mesh-mismatch': 'name-mismatch',
  'token-bound-to-name': 'token-invalid',
  'token-bound-to-name-and-workload-other-name': 'token-invalid',
  'token-of-other-mesh': 'token-invalid',
  'token-of-other-workload': 'token-invalid',
  'token-with-workload-dataplane-without-label': 'workload-missing',
  'token-without-workload': 'token-unbound',
  'token-without-workload-dataplane-without-label': 'workload-missing',
  'zone-token': 'token-invalid',
};

const FOLDERS: readonly URL[] = [
  ...['ads/failures/', 'versions/2.9.19/ads/', 'versions/2.12.14/ads/'].map((folder) => new URL(folder, LIVE)),
  new URL('failures/', DEV),
];

for (const folder of FOLDERS) {
  t.test(
    `${folder.pathname.split('/test/data/')[1]}: each end that a control plane gave a stream has a reason and an advice`,
    async (t) => {
      const cases = readdirSync(folder).filter((name) => existsSync(new URL(`${name}/index.jsonl`, folder)));
      let ends = 0;
      for (const name of cases) {
        if (name.startsWith('delta')) continue;
        for (const { event, code, message = '' } of linesOf(new URL(`${name}/`, folder))) {
          // 1 is the client's own end.
          if (event !== 'stream-end' || code === undefined || code === 1) continue;
          const { reason, advice } = explainEnd({ code, message });
          t.equal(reason, EXPECTED[name], `${name}: ${message}`);
          t.type(advice, 'string');
          ends++;
        }
      }
      t.ok(ends >= 10, `${ends} ends`);
    },
  );
}

t.test('ends without a text of Kuma are reported by their code', async (t) => {
  const reasonOf = (code: number, message: string): string => explainEnd({ code, message }).reason;
  t.equal(reasonOf(0, ''), 'ended');
  t.equal(reasonOf(2, 'something new'), 'unknown');
  t.equal(reasonOf(8, 'Received message larger than max'), 'too-large');
  t.equal(reasonOf(12, 'Method not found'), 'not-a-control-plane');
  t.equal(reasonOf(13, 'Response message parsing error'), 'unreadable-answer');
  t.equal(reasonOf(14, 'connect ECONNREFUSED 127.0.0.1:5678'), 'unreachable');
  t.equal(reasonOf(14, 'unable to verify the first certificate'), 'certificate-refused');
  t.equal(reasonOf(2, 'authentication failed: token is revoked'), 'token-revoked');
  t.equal(
    reasonOf(2, "authentication failed: token is not yet valid: 'valid_from' date is in the future."),
    'token-not-yet-valid',
  );
  t.equal(reasonOf(2, 'authentication failed: a new reason'), 'token-refused');
});

t.test(
  'a resource that is not there is known by each text that Kuma has for it, and a key that is not there is not taken for it',
  async (t) => {
    for (const message of [
      'resource ".egress-1" not found',
      'resource ".egress-1" not found; create a ZoneEgress in Kuma CP first or pass it as an argument to kuma-dp',
      'resource "default.egress-1" not found; create a Dataplane in Kuma CP first or pass it as an argument to kuma-dp',
      'Resource not found: type="ZoneEgress" name="egress-1" mesh=""',
    ])
      t.equal(explainEnd({ code: 2, message }).reason, 'name-not-found', message);
    const key = 'there is no signing key with KID 1. GlobalSecret of name "zone-token-signing-key-1" is not found';
    t.not(explainEnd({ code: 2, message: key }).reason, 'name-not-found');
    const advice = (id: string, resource: string) => explainDeletion({ id, metadata: { 'dataplane.resource': resource } }).advice;
    t.match(advice('.egress-1', ''), /the ZoneEgress of this egress was deleted.*create the ZoneEgress under this name/);
    t.match(advice('default.egress-1', '{}'), /the Dataplane of this egress was deleted.*creates the Dataplane again/);
  },
);
