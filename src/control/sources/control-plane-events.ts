import type { Problem } from '../../base/problem.ts';
import type { AdsEvent, AdsStatus } from '../../xds/stream/ads-client.ts';

/** The parts of log and metrics that events of a control plane use. */
export interface EventSinks {
  readonly log: {
    info(fields: object, message: string): void;
    warn(fields: object, message: string): void;
    error(fields: object, message: string): void;
  };
  readonly connected: (is: boolean) => void;
  readonly refused: (type: string, isRefused: boolean) => void;
}

const RESOURCE_DELETED = 'the resource of this egress was deleted at the control plane; what it sent last is served meanwhile';

/**
 * Logs one line for each event. The client reports a repeated event once, so this cannot flood the
 * log.
 */
export function tellEvent(event: AdsEvent, { log, connected, refused }: EventSinks): void {
  switch (event.kind) {
    case 'connected':
      connected(true);
      return log.info({ attempts: event.attempts }, 'the control plane answers');
    case 'disconnected': {
      connected(false);
      const { reason, message, advice, retryInMs, wasLive } = event;
      const fields = { reason, message, retryInMs: Math.round(retryInMs), ...(advice === null ? {} : { advice }) };
      if (reason === 'resource-deleted') return log.error(fields, RESOURCE_DELETED);
      if (wasLive) return log.warn(fields, 'the control plane is gone; what it sent last stays live');
      return log.warn(fields, 'the control plane does not take the stream; what is live stays live');
    }
    case 'name-taken':
      return log.error({ message: event.message, forMs: event.forMs }, 'another proxy has the name of this egress');
    case 'silent':
      return log.warn({ forMs: event.forMs, advice: event.message }, 'the control plane sends nothing');
    case 'refused':
      refused(event.type, true);
      return log.error(
        { type: event.type, version: event.version, message: event.message },
        'what the control plane sent is refused, and so it sends nothing else until it is mended; what was live stays',
      );
    case 'recovered':
      refused(event.type, false);
      return log.info(
        { type: event.type, version: event.version, refusals: event.refusals },
        'what the control plane sends is good again',
      );
    case 'tolerated':
      return log.warn(
        { type: event.type, name: event.name, remark: event.remark },
        'Envoy would refuse what the control plane sent',
      );
    case 'not-answered':
      return log.warn(
        { type: event.type, names: event.names.slice(0, 20), count: event.names.length, timeoutMs: event.timeoutMs },
        'the control plane does not send what was asked for; what needs it refuses',
      );
    case 'unasked':
      return log.warn({ typeUrl: event.typeUrl }, 'the control plane sent resources of a type that this egress does not ask for');
    default:
      return event satisfies never;
  }
}

/** Returns the present problems between the egress and its control plane; none while it answers. */
export function controlPlaneProblems(status: Pick<AdsStatus, 'phase' | 'lastError'> | undefined): readonly Problem[] {
  if (status === undefined || status.lastError === null || status.phase === 'live') return [];
  const { reason, message, advice } = status.lastError;
  const what =
    reason === 'resource-deleted'
      ? RESOURCE_DELETED
      : `there is no stream from the control plane, and what it sent last stays live: ${message}`;
  const text = advice === null ? what : `${what}; ${advice}`;
  return [{ severity: 'warning', file: 'control plane', line: 0, column: 0, field: '', message: text }];
}
