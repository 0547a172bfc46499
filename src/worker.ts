import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { systemClock } from './base/clock.ts';
import type { Clock } from './base/clock.ts';
import { giveBackWhenQuiet } from './base/release-memory.ts';
import { createGate } from './identity/gate.ts';
import { leadsToKeptAnchor } from './identity/kept-anchors.ts';
import { Resumption } from './identity/resumption.ts';
import { meshServerOptions } from './identity/server-context.ts';
import { systemTrust } from './identity/system-trust.ts';
import { checkServerName } from './identity/upstream-name.ts';
import type { FromData, ToData } from './model/messages.ts';
import type { TrafficSettings } from './model/settings.ts';
import { DataSide } from './traffic/data-side.ts';
import type { MeshTls } from './traffic/mesh-server.ts';

/** The start values of a data side, as they are sent to a worker thread. */
export interface DataSideStart {
  readonly worker: number;
  readonly settings: TrafficSettings;
  readonly largeBufferBytes: number;
  readonly limitsMemory: SharedArrayBuffer;
  readonly breakerMemory: SharedArrayBuffer;
}

/** Marks our own worker threads: a test runner may import this file in one of its own. */
const MARK = 'zone-egress data side';

/**
 * The root of the data side: passes identity's functions to traffic. The control side calls it when
 * both share a thread; otherwise the code below does. Tests change how TLS is judged.
 */
export function createDataSide(
  start: DataSideStart,
  to: { readonly clock: Clock; readonly send: (message: FromData) => void },
  changeTls: (tls: MeshTls) => MeshTls = (tls) => tls,
): DataSide {
  const verify = createGate();
  return new DataSide({
    ...start,
    ...to,
    meshTls: changeTls({ serverOptions: meshServerOptions, verify, leadsToKeptAnchor, resumption: new Resumption(verify) }),
    systemTrust,
    checkServerName,
  });
}

export function workerDataOf(start: DataSideStart): { readonly mark: string; readonly start: DataSideStart } {
  return { mark: MARK, start };
}

if (!isMainThread && parentPort !== null && isOurs(workerData)) {
  const port = parentPort;
  const side = createDataSide(workerData.start, { clock: systemClock(), send: (message) => port.postMessage(message) });
  port.on('message', (message: ToData) => {
    side.receive(message);
    if (message.kind === 'stop') port.unref();
  });
  // An exception in one callback must not end the sessions of all clients.
  for (const event of ['uncaughtException', 'unhandledRejection']) process.on(event, (error: unknown) => side.fault(error));
  giveBackWhenQuiet(systemClock({ keepAlive: false }), { sessions: () => side.sessions });
  void side.start();
}

function isOurs(data: unknown): data is { readonly mark: string; readonly start: DataSideStart } {
  return typeof data === 'object' && data !== null && 'mark' in data && data.mark === MARK;
}
