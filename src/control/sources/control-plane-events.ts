import type { Problem } from '../../base/problem.ts';
import type { AdsEvent } from '../../xds/stream/ads-client.ts';
import type { JoinedProxy } from './config-source.ts';
import type { KeptEvent } from './kept-start.ts';

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

const RESOURCE_DELETED = 'the resource of this egress was deleted at the control plane; its last configuration stays live';

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
      if (wasLive) return log.warn(fields, 'the connection to the control plane is lost; its last configuration stays live');
      return log.warn(fields, 'the control plane refuses the stream; the live configuration stays');
    }
    case 'name-taken':
      return log.error({ message: event.message, forMs: event.forMs }, 'another proxy uses the name of this egress');
    case 'silent':
      return log.warn({ forMs: event.forMs, advice: event.message }, 'the control plane sends nothing');
    case 'refused':
      refused(event.type, true);
      return log.error(
        { type: event.type, version: event.version, message: event.message },
        'resources of the control plane are refused, and it sends nothing newer until they are corrected; the live configuration stays',
      );
    case 'recovered':
      refused(event.type, false);
      return log.info(
        { type: event.type, version: event.version, refusals: event.refusals },
        'the resources of the control plane are accepted again',
      );
    case 'tolerated':
      return log.warn(
        { type: event.type, name: event.name, remark: event.remark },
        'Envoy would refuse resources that the control plane sent',
      );
    case 'not-answered':
      return log.warn(
        { type: event.type, names: event.names.slice(0, 20), count: event.names.length, timeoutMs: event.timeoutMs },
        'the control plane does not send requested resources; routes that need them refuse',
      );
    case 'unasked':
      return log.warn({ typeUrl: event.typeUrl }, 'the control plane sent resources of a type that this egress does not ask for');
    default:
      return event satisfies never;
  }
}

/** Logs how the kept configuration is used. */
export function tellKept(event: KeptEvent, log: EventSinks['log']): void {
  switch (event.kind) {
    case 'used': {
      const { path: file, savedAt, why } = event;
      const keptAt = new Date(savedAt).toISOString();
      return log.warn({ file, keptAt, why }, 'the control plane is away: the egress starts on the configuration that was kept');
    }
    case 'refused':
      return log.error(
        { file: event.path },
        `the kept configuration is not used: ${event.why}; the start waits for the control plane`,
      );
    case 'none':
      return log.warn(
        { file: event.path, why: event.why },
        'the control plane is away, and no configuration was kept: the start waits for the control plane',
      );
    case 'join-failed':
      return log.error(
        { message: event.message, retryInMs: event.retryInMs },
        'the control plane does not take this egress; the kept configuration stays live',
      );
    case 'taken-over':
      return log.info({}, 'the configuration of the control plane is live in place of the kept one');
    default:
      return event satisfies never;
  }
}

/**
 * Returns the present problems between one of the proxies and its control plane; none while it
 * answers. `several`: the process has joined as more than one.
 */
export function controlPlaneProblems(
  { id, state, sentence, controlFacts }: JoinedProxy,
  { several }: { readonly several: boolean },
): readonly Problem[] {
  const file = several ? `control plane (${id})` : 'control plane';
  const at = { severity: 'warning', file, line: 0, column: 0, field: '' } as const;
  if (several && state === 'refused') return [{ ...at, message: sentence }];
  const { phase, lastError = null } = controlFacts?.status ?? {};
  if (lastError === null || phase === 'live' || phase === 'closed') return [];
  const { reason, message, advice } = lastError;
  const what =
    reason === 'resource-deleted'
      ? RESOURCE_DELETED
      : `there is no stream from the control plane, and its last configuration stays live: ${message}`;
  return [{ ...at, message: advice === null ? what : `${what}; ${advice}` }];
}
