import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import { join, relative } from 'node:path';
import { NORMAL_ENDS } from '../base/refusal.ts';
import type { CertificateAndKey } from '../identity/issue.ts';
import type { Egress, SessionRecord } from '../egress.ts';
import { createFakeExternalService } from '../testing/egress/fake-external-service.ts';
import { createFakeZoneIngress } from '../testing/egress/fake-zone-ingress.ts';
import type { DemoCommand } from './commands/demo.ts';
import { serveUntilSignal, start } from './run.ts';
import { SAMPLE_PORTS, sampleZone } from './sample-zone.ts';
import type { SampleZone } from './sample-zone.ts';
import type { Terminal } from './terminal.ts';
import { writeFiles } from './write-files.ts';

const DRAIN_TIME_MS = 30_000;

/**
 * Runs the sample zone in the foreground: the egress, with everything it needs around it on
 * loopback. Sends one session of each kind, and serves until Ctrl-C.
 */
export async function demoCommand(command: DemoCommand, terminal: Terminal): Promise<number> {
  const dir = command.dir === '' ? join(terminal.cwd(), 'certs', 'local') : command.dir;
  const zone = await sampleZone();
  const written = writeFiles(dir, zone.files, { force: true, terminal });
  if (written !== 0) return written;
  const fakes = await startFakes(zone, terminal);
  if (fakes === null) return 71;
  try {
    return await serve(dir, { command, zone, terminal });
  } finally {
    await Promise.all(fakes.map((fake) => fake.close()));
  }
}

async function serve(
  dir: string,
  of: { readonly command: DemoCommand; readonly zone: SampleZone; readonly terminal: Terminal },
): Promise<number> {
  const { command, zone, terminal } = of;
  const egress = await start(
    { resources: join(dir, 'resources'), watch: true, admin: {}, readiness: false, logLevel: 'off' },
    terminal,
  );
  if (typeof egress === 'number') return egress;
  const resources = relative(terminal.cwd(), join(dir, 'resources'));
  terminal.out(
    `zone egress on ${egress.address}:${egress.port}, admin on http://127.0.0.1:${egress.adminPort} (/ready /stats/prometheus /decisions)\n`,
  );
  terminal.out(`resources in ${resources}: change one and the egress follows\n\n`);
  await sendSamples(egress, zone, terminal);
  if (command.once) {
    await egress.close();
    return 0;
  }
  terminal.out(tryIt(relative(terminal.cwd(), join(dir, 'certs')), zone));
  const reported = egress.onRecord((record) => terminal.out(`${line(record)}\n`));
  const code = await serveUntilSignal(egress, { drainTimeMs: DRAIN_TIME_MS, drainExitCode: 1, terminal });
  reported();
  terminal.out(code === 0 ? 'drained\n' : 'drained; some sessions were cut\n');
  return code;
}

/** Starts all of them, or none and prints the reason. */
async function startFakes(zone: SampleZone, terminal: Terminal): Promise<readonly Fake[] | null> {
  const { ingress, externalTls, externalTcp } = SAMPLE_PORTS;
  const { cert, key } = zone.externalTls;
  const starts = await Promise.allSettled<Fake>([
    createFakeZoneIngress({
      ...zone.backend,
      trust: zone.meshCa.cert,
      port: ingress,
      onConnection: (socket) => answer(socket, 'backend, zone west'),
    }),
    createFakeExternalService({
      port: externalTls,
      tls: { cert, key, clientCa: zone.externalCa.cert },
      onConnection: (socket) => answer(socket, 'api.partner.test, over TLS with a client certificate'),
    }),
    createFakeExternalService({ port: externalTcp, onConnection: (socket) => answer(socket, 'the plain TCP service') }),
  ]);
  const started = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
  const failed = starts.find((start) => start.status === 'rejected');
  if (failed === undefined) return started;
  await Promise.all(started.map((fake) => fake.close()));
  const why = failed.reason instanceof Error ? failed.reason.message : String(failed.reason);
  terminal.err(`zone-egress: the sample zone needs the ports ${Object.values(SAMPLE_PORTS).join(', ')} on 127.0.0.1: ${why}\n`);
  return null;
}

interface Fake {
  close(): Promise<void>;
}

function answer(socket: Socket, who: string): void {
  socket.write(`hello from ${who}\n`);
  socket.on('data', (chunk: Buffer) => socket.write(chunk));
  socket.on('end', () => socket.end());
}

async function sendSamples(egress: Egress, zone: SampleZone, terminal: Terminal): Promise<void> {
  const { frontend, batch, till } = zone.clients;
  const samples: readonly (readonly [string, CertificateAndKey, string])[] = [
    ['passed through', frontend, zone.sni.backend],
    ['terminated', frontend, zone.sni.legacy],
    ['re-encrypted', frontend, zone.sni.api],
    ['denied', batch, zone.sni.api],
    ['no such route', frontend, zone.sni.misspelt],
    ['other mesh', till, zone.sni.legacy],
  ];
  for (const [title, client, sni] of samples) {
    const record = nextRecord(egress);
    const heard = await say(egress.port, client, sni);
    terminal.out(`${title.padEnd(15)} ${line(await record)}${heard === '' ? '' : `  <- "${heard}"`}\n`);
  }
  terminal.out('\n');
}

/** Writes outcome and reason on one line. */
function line(record: SessionRecord): string {
  const who = record.spiffeIds[0] ?? record.clientAddress;
  const outcome =
    record.reason in NORMAL_ENDS && record.endpoint !== ''
      ? `ok, ${record.mode} to ${record.endpoint}${record.endpointTls ? ' over TLS' : ''}`
      : `refused, ${record.reason}: ${record.detail}`;
  return `${who} -> ${record.sni === '' ? '(no SNI)' : record.sni}  ${outcome}`;
}

function nextRecord(egress: Egress): Promise<SessionRecord> {
  return new Promise((resolve) => {
    const stop = egress.onRecord((record) => {
      stop();
      resolve(record);
    });
  });
}

/**
 * Makes one short mesh session; resolves with the first line of the answer, empty where none came.
 */
function say(port: number, client: CertificateAndKey, servername: string): Promise<string> {
  return new Promise((resolve) => {
    let heard = '';
    // A data plane verifies the egress by its SPIFFE id. This sample only shows how the egress
    // treats clients.
    const socket = connect({
      port,
      host: '127.0.0.1',
      servername,
      cert: client.cert,
      key: client.key,
      rejectUnauthorized: false,
      ALPNProtocols: ['kuma'],
    });
    socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1');
      if (heard.includes('\n')) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(heard.split('\n')[0] ?? ''));
  });
}

function tryIt(certs: string, zone: SampleZone): string {
  const command = (client: string, sni: string): string =>
    `  openssl s_client -quiet -connect 127.0.0.1:${SAMPLE_PORTS.egress} -servername '${sni}' -cert ${certs}/${client}.crt -key ${certs}/${client}.key -CAfile ${certs}/default-ca.crt`;
  return `try it:\n${command('frontend', zone.sni.api)}\n${command('batch', zone.sni.api)}\n\nserving until Ctrl-C\n`;
}
