import { platform } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import { packageVersion } from '../../base/version.ts';
import { readFileBelow } from '../../files/read-folder.ts';
import type { Observer } from '../../observe/observer.ts';
import type { ControlPlaneOptions } from '../../xds/bootstrap/control-plane-options.ts';
import { fetchBootstrap } from '../../xds/bootstrap/fetch-bootstrap.ts';
import { tellEvent, tellKept } from './control-plane-events.ts';
import { controlPlaneSource } from './control-plane-source.ts';
import type { ControlPlaneSourceOptions } from './control-plane-source.ts';
import { keptConfiguration } from './kept-configuration.ts';
import type { ConfigSource } from './config-source.ts';

/** The first attempts are all logged, later ones one in so many, unless the reason changes. */
const FIRST_ATTEMPTS = 5;
const ONE_OF = 20;

/**
 * Makes a control plane the source, with its bootstrap, log lines and metrics. Nothing is requested
 * before it is started.
 */
export function controlPlaneOf(
  controlPlane: ControlPlaneOptions,
  clock: Clock,
  observer: Pick<Observer, 'log' | 'metrics'>,
): ConfigSource {
  const { log, metrics } = observer;
  let lastMessage = '';
  return controlPlaneSource({
    clock,
    origin: new URL(controlPlane.url).origin,
    warnings: controlPlane.warnings,
    name: controlPlane.name,
    ...(controlPlane.mesh === undefined ? {} : { mesh: controlPlane.mesh }),
    resource: controlPlane.resource,
    token: controlPlane.token,
    // Certificates of upstream TLS may be files of this machine, as with Envoy.
    readFile: (path) => readFileBelow('/', path),
    bootstrap: (signal, onRetry) =>
      fetchBootstrap({
        controlPlane,
        clock,
        signal,
        version: packageVersion(),
        operatingSystem: platform(),
        onRetry(problem) {
          const { message, attempt, retryInMs } = problem;
          if (message !== lastMessage || attempt <= FIRST_ATTEMPTS || attempt % ONE_OF === 0)
            log.warn({ attempt, retryInMs }, `no bootstrap from the control plane yet: ${message}`);
          lastMessage = message;
          onRetry(problem);
        },
      }),
    onEvent: (event) =>
      tellEvent(event, {
        log,
        connected: (is) => metrics.controlPlane(is),
        refused: (type, is) => metrics.controlPlaneRefused(type, is),
      }),
    ...keptOf(controlPlane, clock, observer),
  });
}

/** The configuration that is kept on disk, where the options name a folder for it. */
function keptOf(
  { stateDir, url, name, mesh = '' }: ControlPlaneOptions,
  clock: Clock,
  { log, metrics }: Pick<Observer, 'log' | 'metrics'>,
): Pick<ControlPlaneSourceOptions, 'kept' | 'onKept'> {
  if (stateDir === undefined) return {};
  let lastProblem: string | null = null;
  const kept = keptConfiguration({
    clock,
    dir: stateDir,
    owner: { controlPlane: new URL(url).origin, name, mesh },
    version: packageVersion(),
    onWritten(problem) {
      metrics.keptWritten(problem === null ? 'written' : 'failed');
      if (problem === lastProblem) return;
      lastProblem = problem;
      if (problem === null) log.info({ file: kept.path }, 'the configuration is kept again');
      else log.warn({ file: kept.path }, `${KEEP_FAILED}: ${problem}`);
    },
  });
  return { kept, onKept: (event) => tellKept(event, log) };
}

const KEEP_FAILED =
  'the configuration could not be kept, so that a start without the control plane would have an older one or none';
