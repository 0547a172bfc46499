import t from 'tap';
import { EndpointUse } from '../../src/traffic/endpoint-use.ts';
import { endpoint } from '../routing/endpoints.ts';

const target = (ip: string) => ({ endpoint: endpoint({ ip }), ip });

t.test('sessions are counted by endpoint, and one that has left is counted no more', async (t) => {
  const use = new EndpointUse();
  const leave = [use.enter('api', target('10.0.0.1')), use.enter('api', target('10.0.0.1'))];
  use.enter('api', target('2001:db8::1'));
  t.same(
    [...(use.of('api').active ?? [])],
    [
      ['10.0.0.1:80', 2],
      ['[2001:db8::1]:80', 1],
    ],
  );
  leave[0]?.();
  leave[0]?.();
  t.equal(use.of('api').active?.get('10.0.0.1:80'), 1, 'leaving twice is leaving once');
  leave[1]?.();
  t.notOk(use.of('api').active?.has('10.0.0.1:80'));
  t.same(use.of('other'), {});
});

t.test('only what is not healthy is kept', async (t) => {
  const use = new EndpointUse();
  const change = { cluster: 'api', key: '10.0.0.1:80' };
  use.setHealth({ ...change, health: 'ejected' });
  t.same([...(use.of('api').health ?? [])], [['10.0.0.1:80', 'ejected']]);
  use.setHealth({ ...change, health: 'healthy' });
  t.same(use.of('api'), {});
});
