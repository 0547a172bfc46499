import t from 'tap';
import { openSessionsTable } from '../../src/admin/open-sessions-table.ts';
import type { ShownSession } from '../../src/model/shown-session.ts';

const SESSION: ShownSession = {
  id: '0.1',
  worker: 0,
  state: 'hello',
  startedAt: 0,
  ageMs: 0,
  idleMs: 0,
  clientAddress: '127.0.0.1',
  clientPort: 1,
  spiffeIds: [],
  sni: 'a\x1b[2J\nb',
  mode: '',
  mesh: '',
  destination: '',
  cluster: '',
  endpoint: '',
  endpointTls: false,
  bytesUp: 0,
  bytesDown: 0,
  rateUp: 0,
  rateDown: 0,
};

t.test('a name that a client chose stays in its line, and gives no orders to a terminal', async (t) => {
  const lines = openSessionsTable([SESSION]).split('\n');
  t.equal(lines.length, 3, 'the head, the session, and the end');
  t.match(lines[1], 'a\\x1b[2J\\x0ab');
});
