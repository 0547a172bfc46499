// Runs beside the egress of a container, in its network, on the Node of the same image: a service,
// a client, and requests to the readiness port. It reads one command a line and answers with one
// line. /zone is the output of `zone-egress generate zone`.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { setTimeout as wait } from 'node:timers/promises';

const file = (name) => readFileSync(`/zone/certs/${name}`);
// The external service `legacy` of the sample zone: it returns what it gets.
const service = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).pipe(socket));
service.listen(10013, '127.0.0.1');
await once(service, 'listening');

let session = null;
const commands = {
  /** Waits until the readiness port has this status. */
  async ready(status) {
    let last = 'no answer';
    // Only a failure reaches this bound.
    for (const end = Date.now() + 60_000; Date.now() < end; await wait(50)) {
      const answer = await fetch('http://127.0.0.1:9902/ready').catch(() => null);
      if (answer === null) continue;
      last = `${answer.status} ${(await answer.text()).trim()}`;
      if (answer.status === Number(status)) break;
    }
    return last;
  },
  async open(client) {
    session = connect({
      port: 10002,
      host: '127.0.0.1',
      servername: 'legacy{mesh=default}',
      cert: file(`${client}.crt`),
      key: file(`${client}.key`),
      rejectUnauthorized: false,
    });
    session.on('error', () => {});
    await once(session, 'secureConnect');
    return 'open';
  },
  async echo(text) {
    session.write(text);
    const [back] = await once(session, 'data');
    return String(back);
  },
  async end() {
    session.end();
    await once(session, 'close');
    return 'ended';
  },
  async cut() {
    if (!session.closed) await once(session, 'close');
    return 'cut';
  },
};
const late = (name) => wait(60_000, `failed: ${name} took more than 60 s`, { ref: false });
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = line.split(' ');
  const answer = commands[name](rest.join(' ')).catch((error) => `failed: ${error.message}`);
  console.log(await Promise.race([answer, late(name)]));
}
process.exit(0);
