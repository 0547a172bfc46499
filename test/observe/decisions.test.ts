import t from 'tap';
import type { SessionRecord } from '../../src/model/session-record.ts';
import { RecentDecisions } from '../../src/observe/decisions.ts';
import { sessionRecord, unmatched } from './record.ts';

const ids = (list: readonly { readonly id: string }[]): string => list.map(({ id }) => id).join(' ');

t.test('the newest decision comes first, and the oldest is forgotten when the ring is full', async (t) => {
  const decisions = new RecentDecisions<SessionRecord>(3);
  t.same(decisions.list(), []);
  for (const [i, expected] of ['0', '1 0', '2 1 0', '3 2 1', '4 3 2', '5 4 3', '6 5 4'].entries()) {
    decisions.add(sessionRecord({ id: String(i) }));
    t.equal(ids(decisions.list()), expected);
  }
  t.equal(ids(decisions.list({ limit: 2 })), '6 5');
  t.equal(ids(decisions.list({ limit: 0 })), '');
  t.equal(ids(decisions.list({ limit: 99 })), '6 5 4');
});

t.test('decisions are found by reason, by mesh and by id; the limit counts what was found', async (t) => {
  const decisions = new RecentDecisions<SessionRecord>();
  decisions.add(unmatched({ id: 'a' }));
  decisions.add(sessionRecord({ id: 'b', mesh: 'payments' }));
  decisions.add(sessionRecord({ id: 'c', reason: 'denied' }));
  decisions.add(sessionRecord({ id: 'd', reason: 'denied', mesh: 'payments' }));
  t.equal(ids(decisions.list({ reason: 'denied' })), 'd c');
  t.equal(ids(decisions.list({ mesh: 'payments' })), 'd b');
  t.equal(ids(decisions.list({ mesh: 'payments', reason: 'denied' })), 'd');
  t.equal(ids(decisions.list({ mesh: '' })), 'a');
  t.equal(ids(decisions.list({ reason: 'denied', limit: 1 })), 'd');
  t.equal(decisions.get('c')?.id, 'c');
  t.equal(decisions.get('z'), null);
});

t.test('a ring holds the last 10,000, and one of 0 holds none', async (t) => {
  const usual = new RecentDecisions<SessionRecord>();
  const none = new RecentDecisions<SessionRecord>(0);
  for (let i = 0; i < 25_000; i++) {
    usual.add(sessionRecord({ id: String(i) }));
    none.add(sessionRecord({ id: String(i) }));
  }
  t.equal(usual.list().length, 10_000);
  t.equal(usual.list()[9_999]?.id, '15000');
  t.equal(usual.get('14999'), null);
  t.same(none.list(), []);
});
