import { platform } from 'node:os';
import type { Clock } from '../../base/clock.ts';
import { packageVersion } from '../../base/version.ts';
import { readFileBelow } from '../../files/read-folder.ts';
import type { Observer, ProxyLabels } from '../../observe/observer.ts';
import type { ControlPlaneOptions } from '../../xds/bootstrap/control-plane-options.ts';
import { fetchBootstrap } from '../../xds/bootstrap/fetch-bootstrap.ts';
import { tellEvent, tellKept } from './control-plane-events.ts';
import type { EventSinks } from './control-plane-events.ts';
import { controlPlaneSource } from './control-plane-source.ts';
import type { ControlPlaneSource, ControlPlaneSourceOptions, Hold } from './control-plane-source.ts';
import { keptConfiguration } from './kept-configuration.ts';
import type { ConfigSource } from './config-source.ts';
import type { ProxyRoster } from './proxy-roster.ts';
import { proxyId } from './proxy-sentence.ts';
import { severalProxiesSource } from './several-proxies-source.ts';

type Sinks = Pick<Observer, 'log' | 'metrics'>;

/** The parts of the egress that a control plane uses as its source. */
export interface Joining {
  readonly clock: Clock;
  readonly sinks: Sinks;
  readonly hold: Hold;
}

/** The first attempts are all logged, later ones one in so many, unless the reason changes. */
const FIRST_ATTEMPTS = 5;
const ONE_OF = 20;

/**
 * Makes a control plane the source, with its bootstrap, log lines and metrics. Nothing is requested
 * before it is started.
 */
export function controlPlaneOf(controlPlane: ControlPlaneOptions, { clock, sinks, hold }: Joining): ConfigSource {
  const { log, metrics } = sinks;
  return joinedAs(controlPlane, clock, { log, metrics, hold, labels: null, heard: () => {} });
}

/** Makes several proxies the source; log lines and metrics name the one that they are about. */
export function severalControlPlanes(roster: ProxyRoster, { clock, sinks, hold }: Joining): ConfigSource {
  const { log, metrics } = sinks;
  const labelled = new Map<string, ProxyLabels>();
  const warned = new Map<string, string>();
  return severalProxiesSource({
    clock,
    roster,
    join({ controlPlane }, heard) {
      const labels = labelsOf(controlPlane);
      const own = labelledLog(log, labels);
      const id = proxyId(controlPlane);
      labelled.set(id, labels);
      // A proxy that is tried again and again says them once.
      const warnings = JSON.stringify(controlPlane.warnings);
      if (warned.get(id) !== warnings) for (const warning of controlPlane.warnings) own.warn({}, warning);
      warned.set(id, warnings);
      return joinedAs(controlPlane, clock, { log: own, metrics, hold, labels, heard });
    },
    onRefused({ controlPlane }, { message }, retryInMs) {
      metrics.controlPlane(false, labelsOf(controlPlane));
      labelledLog(log, labelsOf(controlPlane)).error({ message, retryInMs }, 'it cannot join the control plane');
    },
    onLeave(id, isGone) {
      const labels = labelled.get(id);
      if (labels === undefined) return;
      if (!isGone) {
        metrics.controlPlane(false, labels);
        return labelledLog(log, labels).warn(
          {},
          'it leaves: it is no longer in the list of proxies, and is served until the drain time is over',
        );
      }
      metrics.controlPlaneGone(labels);
      labelled.delete(id);
      warned.delete(id);
      labelledLog(log, labels).info({}, 'it has left');
    },
  });
}

interface JoinedAs {
  readonly log: EventSinks['log'];
  readonly metrics: Sinks['metrics'];
  readonly hold: Hold;
  readonly labels: ProxyLabels | null;
  readonly heard: () => void;
}

function joinedAs(
  controlPlane: ControlPlaneOptions,
  clock: Clock,
  { log, metrics, hold, labels, heard }: JoinedAs,
): ControlPlaneSource {
  let lastMessage = '';
  return controlPlaneSource({
    clock,
    origin: new URL(controlPlane.url).origin,
    warnings: controlPlane.warnings,
    name: controlPlane.name,
    ...(controlPlane.mesh === undefined ? {} : { mesh: controlPlane.mesh }),
    resource: controlPlane.resource,
    token: controlPlane.token,
    hold,
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
          const isOften = labels === null && (attempt <= FIRST_ATTEMPTS || attempt % ONE_OF === 0);
          // One of several proxies says it once: fifty would write fifty lines each time.
          if (message !== lastMessage || isOften)
            log.warn({ attempt, retryInMs }, `no bootstrap from the control plane yet: ${message}`);
          lastMessage = message;
          onRetry(problem);
        },
      }),
    onEvent(event) {
      tellEvent(event, {
        log,
        connected: (is) => metrics.controlPlane(is, labels),
        refused: (type, is) => metrics.controlPlaneRefused(type, is, labels),
      });
      heard();
    },
    onLeave() {
      metrics.controlPlane(false, labels);
      log.info(
        {},
        'the stream to the control plane ends, so that sidecars are sent to other egresses; the last configuration stays live',
      );
    },
    ...keptOf(controlPlane, clock, { log, metrics }),
  });
}

/** The configuration that is kept on disk, where the options name a folder for it. */
function keptOf(
  { stateDir, url, name, mesh = '' }: ControlPlaneOptions,
  clock: Clock,
  { log, metrics }: Pick<JoinedAs, 'log' | 'metrics'>,
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

function labelsOf({ name, mesh = '' }: ControlPlaneOptions): ProxyLabels {
  return { mesh, dataplane: name };
}

function labelledLog(log: EventSinks['log'], { mesh, dataplane }: ProxyLabels): EventSinks['log'] {
  const of = mesh === '' ? { zoneEgress: dataplane } : { mesh, dataplane };
  return {
    info: (fields, message) => log.info({ ...of, ...fields }, message),
    warn: (fields, message) => log.warn({ ...of, ...fields }, message),
    error: (fields, message) => log.error({ ...of, ...fields }, message),
  };
}
