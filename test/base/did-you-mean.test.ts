import t from 'tap';
import { didYouMean } from '../../src/base/did-you-mean.ts';

const KINDS = ['Mesh', 'ZoneEgress', 'ZoneIngress', 'ExternalService', 'MeshExternalService', 'TrafficPermission'];

t.test('a slip of the pen finds its word', async (t) => {
  t.equal(didYouMean('ZoneEgres', KINDS), ', did you mean "ZoneEgress"?');
  t.equal(didYouMean('zoneegress', KINDS), ', did you mean "ZoneEgress"?');
  t.equal(didYouMean('TrafficPremission', KINDS), ', did you mean "TrafficPermission"?');
  t.equal(didYouMean('adress', ['address', 'port']), ', did you mean "address"?');
});

t.test('something else finds nothing', async (t) => {
  t.equal(didYouMean('Deployment', KINDS), '');
  t.equal(didYouMean('x', ['a', 'b']), '');
  t.equal(didYouMean('', KINDS), '');
  t.equal(didYouMean('x'.repeat(100_000), KINDS), '');
});
