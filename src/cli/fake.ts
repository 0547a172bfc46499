import { formatProblem } from '../base/problem.ts';
import { ConfigError } from '../control/sources/config-source.ts';
import { createFakeEgress } from '../testing/egress/fake-egress.ts';
import type { FakeEgress } from '../testing/egress/fake-egress-api.ts';
import { EXIT_CONFIG, EXIT_USAGE } from './exit-codes.ts';
import type { FakeCommand } from './commands/fake.ts';
import type { Terminal } from './terminal.ts';

/** From sysexits. */

/** Version of the line: it increases when a field is removed or changes its meaning. */
const LINE_VERSION = 1;

/** Serves until standard input ends, or a signal comes; then certificate files are removed. */
export async function fakeCommand(command: FakeCommand, terminal: Terminal): Promise<number> {
  let egress: FakeEgress;
  let line: string;
  try {
    egress = await startFake(command);
  } catch (error) {
    return refused(error, terminal);
  }
  try {
    line = JSON.stringify(about(egress, command));
  } catch (error) {
    await egress.close();
    return refused(error, terminal);
  }
  terminal.out(`${line}\n`);
  await told(terminal);
  await egress.close();
  return 0;
}

function startFake({ dir, overrides, allowOutside, zone, port }: FakeCommand): Promise<FakeEgress> {
  return createFakeEgress({
    resources: dir,
    overrides,
    port,
    admin: true,
    ...(allowOutside.length === 0 ? {} : { allowOutside }),
    ...(zone === null ? {} : { zone }),
  });
}

/** Returns the facts that a test in another language needs. */
function about(egress: FakeEgress, { clients }: FakeCommand): object {
  const made = clients.map(({ mesh, service }) => {
    const client = egress.client({ service, ...(mesh === null ? {} : { mesh }) });
    return [`${client.mesh}/${service}`, { ...client.files(), spiffe: `spiffe://${client.mesh}/${service}` }] as const;
  });
  return {
    version: LINE_VERSION,
    address: egress.address,
    port: egress.port,
    admin: `http://127.0.0.1:${egress.adminPort}`,
    zone: egress.snapshot().zone,
    clients: Object.fromEntries(made),
    destinations: egress.destinations(),
  };
}

function told(terminal: Terminal): Promise<void> {
  return new Promise((resolve) => {
    const stop = terminal.onSignal(['SIGINT', 'SIGTERM'], () => done());
    function done(): void {
      stop();
      resolve();
    }
    void terminal.inputEnd?.().then(done);
  });
}

function refused(error: unknown, terminal: Terminal): number {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) terminal.err(`${formatProblem(problem)}\n`);
    return EXIT_CONFIG;
  }
  if (!(error instanceof TypeError)) throw error;
  terminal.err(`zone-egress: ${error.message}\n`);
  return EXIT_USAGE;
}
