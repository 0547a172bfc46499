import * as checked from '../base/shape.ts';
import type { Clock } from '../base/clock.ts';
import { clock, signal, traffic } from '../control/option-checks.ts';
import type { RecordOptions } from '../control/record-sessions.ts';
import { checkSource } from '../control/sources/check-source.ts';
import type { ConfigSource, Rewrite } from '../control/sources/config-source.ts';
import type { ProxyRoster } from '../control/sources/proxy-roster.ts';
import type { TrafficSettings } from '../model/settings.ts';
import { LOG_FORMATS } from '../observe/log-format.ts';
import type { LogFormat } from '../observe/log-format.ts';
import { checkOtlp } from '../observe/otlp/otlp-options.ts';
import type { OtlpOptions } from '../observe/otlp/otlp-options.ts';
import type { ControlPlaneOptions } from '../xds/bootstrap/control-plane-options.ts';

export type ResourceFiles = readonly { readonly path: string; readonly text: string }[];

/** Each destination has some forty lines. */
const MOST_TOP = 10_000;

export interface EgressOptions {
  /**
   * A folder of Kuma resource files, the files themselves, or a function that returns them at each
   * load. One of `resources`, `controlPlane`, `proxies` and `source` is required.
   */
  readonly resources?: string | ResourceFiles | (() => ResourceFiles);
  /** Joins a control plane in place of kuma-dp and Envoy, and follows it until the end. */
  readonly controlPlane?: ControlPlaneOptions;
  /**
   * Joins a control plane as several proxies, each on its own: the Dataplanes of several meshes,
   * and a ZoneEgress during a migration. A roster may change while the egress runs.
   */
  readonly proxies?: readonly ControlPlaneOptions[] | ProxyRoster;
  /** Your own source of configurations (docs/config-sources.md). */
  readonly source?: ConfigSource;
  /** Name of the ZoneEgress, where there are several. */
  readonly name?: string;
  /** Name of this zone, where the ZoneEgress has none. */
  readonly zone?: string;
  /**
   * Folder with a sub-folder per mesh that holds `tls.crt`, `tls.key`, `ca.crt`; instead of CA
   * keys.
   */
  readonly identities?: string;
  /** True reports unknown fields and kinds as errors. */
  readonly strict?: boolean;
  /** Overrides the address of the ZoneEgress. */
  readonly bind?: string;
  /** Overrides the port of the ZoneEgress; 0 takes a free one. */
  readonly port?: number;
  /**
   * Descriptor of a socket that listens already, as systemd and other supervisors pass it: the
   * egress accepts from it instead of opening its own. Allowed only with `concurrency` 1.
   */
  readonly inheritedSocket?: number;
  /** The admin listener; its port comes from the ZoneEgress unless given. `false`: none. */
  readonly admin?:
    | false
    | {
        readonly bind?: string;
        readonly port?: number;
        readonly allowedHosts?: readonly string[];
        /** A unix socket with the same pages, on which changes are taken too. Default: none. */
        readonly socket?: string;
        /** A file of tokens with which changes are taken over TCP. Default: none are taken. */
        readonly tokenFile?: string;
        /**
         * Files of PEM. With them the listener over TCP speaks TLS only, and takes changes of
         * clients whose certificate leads to a CA of `clientCaFile`. Default: no TLS.
         */
        readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly clientCaFile: string };
      };
  /**
   * Called when an operator ends the egress over an admin listener. Default: it drains and closes
   * itself.
   */
  readonly onQuit?: () => void;
  /**
   * A listener that only answers /ready, on every address unless `bind` names one. Default: none.
   */
  readonly readiness?: false | { readonly bind?: string; readonly port: number };
  /** 1 (default) shares the caller's thread; more have a worker thread each. */
  readonly concurrency?: number;
  /**
   * Reads and compiles the folder in a thread of its own, so that a change of a large folder holds
   * up no session. Default: false.
   */
  readonly configThread?: boolean;
  /** Reloads when the folder changes. Default: false. */
  readonly watch?: boolean;
  /** Default: off. */
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'off';
  /** The form of each log line; default: json. */
  readonly logFormat?: LogFormat;
  /**
   * One of this many sessions that ended well gets a log line; refused ones always do; 0 logs none.
   * Default: 1, each.
   */
  readonly logSample?: number;
  /**
   * The most destinations, and the most endpoints, with metrics of their own; the rest of a mesh is
   * together under `other`. Default: 200.
   */
  readonly metricsTop?: number;
  /**
   * Offers the metrics as OpenMetrics too, with the id of a session as an example of each bucket.
   * Default: false.
   */
  readonly openMetrics?: boolean;
  /** Receives the log lines; default: standard output. */
  readonly logDestination?: { write(line: string): void };
  /**
   * Number of ended sessions that are remembered for `decisions` and `explain`. Default: 10,000.
   */
  readonly remembered?: number;
  /**
   * Writes the facts of each ended session to this file, never payload (docs/recording.md).
   * Default: none.
   */
  readonly record?: RecordOptions;
  /**
   * Sends spans of sampled sessions and requests, and a log record for each that did not end well,
   * to a collector of OpenTelemetry (docs/guides/opentelemetry.md). Needs the packages of its SDK.
   * Default: none.
   */
  readonly otlp?: OtlpOptions;
  /**
   * Meshes whose permissions refuse no client: what they would refuse passes, and is logged,
   * counted and recorded. Nothing else is let through. Default: none.
   */
  readonly reportOnly?: readonly string[];
  readonly traffic?: Partial<TrafficSettings>;
  /** Resolves names; default: as the operating system does (hosts file, search list, DNS). */
  readonly lookup?: (name: string, family: 'v4' | 'any') => Promise<string[]>;
  readonly clock?: Clock;
  /** Replaces each compiled configuration, e.g. to use the addresses of test doubles. */
  readonly rewrite?: Rewrite;
  /** Aborts a start that waits for its source: `startEgress` rejects with the reason. */
  readonly signal?: AbortSignal;
  /** Remarks on the options, logged once at the start. */
  readonly warnings?: readonly string[];
  /** Flags that were given and have no effect on this egress, logged once at debug. */
  readonly ignoredFlags?: readonly string[];
}

/** Each mesh has to be named: no option switches off the permissions of all of them. */
const meshNamed: checked.Check = (value, place) => {
  checked.name(value, place);
  if (value === '*') throw new TypeError(`${place}: name each mesh; "*" is not taken`);
};

/** Throws a TypeError for a misspelt option or one of another type, for callers from JavaScript. */
export const checkOptions: checked.Check = checked.options<EgressOptions>({
  resources: checked.either('a folder, a list of { path, text }, or a function that gives one', {
    string: checked.text,
    list: checked.listOf(checked.options<ResourceFiles[number]>({ path: checked.name, text: checked.text }, ['path', 'text'])),
    function: checked.callback,
  }),
  controlPlane: checked.having('options of a control plane', 'token'),
  proxies: checked.either('a list of options of a control plane, or a roster with read() and watch()', {
    list: checked.listOf(checked.having('options of a control plane', 'token')),
    object: checked.having('a roster', 'read', 'watch'),
  }),
  source: checkSource,
  name: checked.text,
  zone: checked.text,
  identities: checked.text,
  strict: checked.flag,
  bind: checked.text,
  port: checked.port,
  inheritedSocket: checked.whole(3, 65_535),
  admin: checked.either('false, or { bind, port, allowedHosts, socket, tokenFile, tls }', {
    boolean: checked.isFalse,
    object: checked.options<Exclude<EgressOptions['admin'], false | undefined>>({
      bind: checked.text,
      port: checked.port,
      allowedHosts: checked.listOf(checked.text),
      socket: checked.name,
      tokenFile: checked.name,
      tls: checked.options<NonNullable<Exclude<EgressOptions['admin'], false | undefined>['tls']>>(
        { certFile: checked.name, keyFile: checked.name, clientCaFile: checked.name },
        ['certFile', 'keyFile', 'clientCaFile'],
      ),
    }),
  }),
  readiness: checked.either('false, or { bind, port }', {
    boolean: checked.isFalse,
    object: checked.options<Exclude<EgressOptions['readiness'], false | undefined>>({ bind: checked.text, port: checked.port }, [
      'port',
    ]),
  }),
  onQuit: checked.callback,
  concurrency: checked.whole(1, 1_024),
  configThread: checked.flag,
  watch: checked.flag,
  logLevel: checked.oneOf(['debug', 'info', 'warn', 'error', 'off']),
  logFormat: checked.oneOf(LOG_FORMATS),
  logSample: checked.amount,
  metricsTop: checked.whole(0, MOST_TOP),
  openMetrics: checked.flag,
  logDestination: checked.having('something with write(line)', 'write'),
  remembered: checked.amount,
  record: checked.options<RecordOptions>({ file: checked.name, maxBytes: checked.amount }, ['file']),
  otlp: checkOtlp,
  reportOnly: checked.listOf(meshNamed),
  traffic,
  lookup: checked.callback,
  clock,
  rewrite: checked.callback,
  signal,
  warnings: checked.listOf(checked.text),
  ignoredFlags: checked.listOf(checked.text),
});
