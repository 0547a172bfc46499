import { createAdminChanges } from '../admin/changes/changes.ts';
import type { AdminChanges } from '../admin/changes/changes.ts';
import { TokenFile } from '../admin/changes/token-file.ts';
import { createHostCheck } from '../admin/hosts.ts';
import type { Clock } from '../base/clock.ts';
import type { LiveProber } from '../control/probe-live.ts';
import { ConfigError } from '../control/sources/config-source.ts';
import type { SessionFinder } from '../control/session-finder.ts';
import type { Observer } from '../observe/observer.ts';
import type { OperatorDrain } from './operator-drain.ts';

export interface OperatorChangesOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly sessionFinder: SessionFinder;
  readonly drain: OperatorDrain;
  readonly quit: () => void;
  readonly reopenLogs: () => void;
  readonly probe: LiveProber['probe'];
  readonly allowedHosts: readonly string[];
  readonly tokenFile: string | null;
}

export interface OperatorChanges {
  readonly changes: AdminChanges;
  /** Rejects where the token file holds no token. */
  check(): Promise<void>;
}

/** Joins the changes of the admin listeners to what they change. */
export function operatorChanges(options: OperatorChangesOptions): OperatorChanges {
  const { clock, observer, sessionFinder, drain, quit, reopenLogs, tokenFile } = options;
  const { log, metrics, traffic } = observer;
  const tokens =
    tokenFile === null
      ? null
      : new TokenFile({ path: tokenFile, onDoubt: (sentence) => log.warn({ file: tokenFile }, sentence) });
  const changes = createAdminChanges({
    clock,
    tokens,
    hostRefusal: createHostCheck(options.allowedHosts),
    actions: {
      endSessions: (which, detail) => sessionFinder.end(which, detail),
      logLevel: () => log.level,
      setLogLevel: (level) => log.setLevel(level),
      failHealth: (isFailing) => drain.failHealth(isFailing),
      drainListeners: (how) => drain.drainListeners(how),
      quit,
      resetCounters: () => traffic.reset(),
      reopenLogs,
      probe: ({ target, ...bounds }) => options.probe(target, bounds),
    },
    audit: {
      line(outcome, fields, message) {
        metrics.adminChange(outcome);
        log.always(outcome === 'refused' ? 'warn' : 'info', fields, message);
      },
    },
  });
  return {
    changes,
    async check() {
      const problem = (await tokens?.problem()) ?? null;
      if (problem !== null) throw new ConfigError([problem]);
    },
  };
}
