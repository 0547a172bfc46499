import { platform } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import { packageVersion } from '../../base/version.ts';
import { readFileBelow } from '../../files/read-folder.ts';
import type { Observer } from '../../observe/observer.ts';
import type { ControlPlaneOptions } from '../../xds/bootstrap/control-plane-options.ts';
import { fetchBootstrap } from '../../xds/bootstrap/fetch-bootstrap.ts';
import { tellEvent } from './control-plane-events.ts';
import { controlPlaneSource } from './control-plane-source.ts';
import type { ConfigSource } from './config-source.ts';

/**
 * Makes a control plane the source, with its bootstrap, log lines and metrics. Nothing is requested
 * before it is started.
 */
export function controlPlaneOf(
  controlPlane: ControlPlaneOptions,
  clock: Clock,
  { log, metrics }: Pick<Observer, 'log' | 'metrics'>,
): ConfigSource {
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
    bootstrap: (signal) =>
      fetchBootstrap({
        controlPlane,
        clock,
        signal,
        version: packageVersion(),
        operatingSystem: platform(),
        onRetry: ({ message, attempt, retryInMs }) =>
          log.warn({ attempt, retryInMs }, `no bootstrap from the control plane yet: ${message}`),
      }),
    onEvent: (event) =>
      tellEvent(event, {
        log,
        connected: (is) => metrics.controlPlane(is),
        refused: (type, is) => metrics.controlPlaneRefused(type, is),
      }),
  });
}
