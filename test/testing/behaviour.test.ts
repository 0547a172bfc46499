import t from 'tap';
import { createFakeEgress } from '../../src/testing/egress/fake-egress.ts';
import { createFakeExternalService } from '../../src/testing/egress/fake-external-service.ts';

t.test('a behaviour that there is not is refused with those that there are, before anything listens', async (t) => {
  const wanted = { name: 'TypeError', message: /"ecko": allowed are echo, discard, silent, close, reset, http/ };
  const behaviour = 'ecko' as 'echo';
  await t.rejects(createFakeExternalService({ behaviour }), wanted);
  await t.rejects(createFakeExternalService({ behaviour: 'toString' as 'echo' }), { name: 'TypeError' });
  await t.rejects(createFakeEgress({ external: { httpbin: { behaviour } } }), wanted);
});
