import { plural } from '../../base/plural.ts';
import type { FindBy, ShownAnswer } from '../../model/shown-session.ts';
import type { LogLevel } from '../../observe/log.ts';
import type { ProbeOutcome } from '../../model/probed-destination.ts';
import { parseEndQuery, parseProbeQuery } from '../queries.ts';
import type { AskedProbe } from '../queries.ts';
import { jsonView, textView } from '../views.ts';
import type { View } from '../views.ts';
import { changeLevel } from './logging.ts';

/** The parts of the egress that changes act on. */
export interface ChangeActions {
  /** Resolves with the sessions that were ended (`found`). */
  endSessions(which: FindBy, detail: string): Promise<ShownAnswer>;
  logLevel(): LogLevel;
  setLogLevel(level: LogLevel): void;
  /** True makes /ready say 503 from now on; connections are still taken. */
  failHealth(isFailing: boolean): void;
  /** Takes no more connections; sessions go on. */
  drainListeners(how: { readonly graceful: boolean; readonly closes: boolean }): void;
  /** Ends the egress as SIGTERM does. */
  quit(): void;
  resetCounters(): void;
  reopenLogs(): void;
  /** Dials the endpoints of a destination. It changes nothing, and is guarded like a change. */
  probe(asked: AskedProbe): Promise<ProbeOutcome>;
}

/** `what` is a part of the line in the log. */
export type ChangeOutcome =
  | { readonly kind: 'made'; readonly view: View; readonly what: string }
  /** Nothing changed, and endpoints were dialled. */
  | { readonly kind: 'probed'; readonly view: View; readonly what: string }
  /** The request only asked. */
  | { readonly kind: 'asked'; readonly view: View }
  | { readonly kind: 'refused'; readonly view: View; readonly why: string };

export interface ChangeSpec {
  /** For Envoy's `/help`. */
  readonly help: string;
  /** Parameters as Envoy's `/help` lists them. */
  readonly parameters?: Readonly<Record<string, string>>;
  readonly make: (search: string, actions: ChangeActions, by: string) => ChangeOutcome | Promise<ChangeOutcome>;
}

const OK: View = { status: 200, contentType: 'text/plain; charset=UTF-8', body: 'OK\n' };

/** Envoy's paths have Envoy's answers. */
export const CHANGES: Readonly<Record<string, ChangeSpec>> = {
  '/sessions/end': {
    help: 'end sessions: ?id=&mesh=&destination=&client=, or ?all=true',
    make: endSessions,
  },
  '/logging': {
    help: 'query/change logging levels',
    parameters: {
      level:
        "desired logging level, this will change all loggers's level; One of (, trace, debug, info, warning, error, critical, off)",
      paths: 'Change multiple logging levels by setting to <logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>.',
    },
    make: (search, actions) => changeLevel(new URLSearchParams(search), actions),
  },
  '/healthcheck/fail': {
    help: 'cause the server to fail health checks',
    make: (_, actions) => done(() => actions.failHealth(true), '/ready answers 503'),
  },
  '/healthcheck/ok': {
    help: 'cause the server to pass health checks',
    make: (_, actions) => done(() => actions.failHealth(false), '/ready answers as before'),
  },
  '/drain_listeners': {
    help: 'drain listeners',
    parameters: {
      graceful: 'wait until no connection comes any more, at most half of the drain time, before the listener is closed',
      skip_exit: 'With graceful: ask clients of HTTP to leave, and close no listener',
      inboundonly: 'every listener is inbound here',
    },
    make: drainListeners,
  },
  '/quitquitquit': {
    help: 'exit the server, as SIGTERM does: sessions have the drain time',
    make: (_, actions) => done(() => actions.quit(), 'the egress drains and ends'),
  },
  '/reset_counters': {
    help: 'reset all counters to zero',
    make: (_, actions) => done(() => actions.resetCounters(), 'all counters are 0'),
  },
  '/reopen_logs': {
    help: 'reopen access logs',
    make: (_, actions) => done(() => actions.reopenLogs(), 'files of logs are opened again'),
  },
  '/probe': {
    help: 'connect to the endpoints of a destination, and say what is wrong with them: ?target=&timeout=5s&wait=500ms',
    make: probeEndpoints,
  },
};

function done(act: () => void, what: string): ChangeOutcome {
  act();
  return { kind: 'made', view: OK, what };
}

async function endSessions(search: string, actions: ChangeActions, by: string): Promise<ChangeOutcome> {
  const which = parseEndQuery(search);
  if (typeof which === 'string') return { kind: 'refused', view: textView(400, which), why: which };
  const { found: ended, silent } = await actions.endSessions(which, `an operator ended it: ${by}`);
  const view = jsonView({ ended, ...(silent.length === 0 ? {} : { silent }) });
  return { kind: 'made', view, what: `${ended} sessions ended: ${new URLSearchParams({ ...which }).toString() || 'all'}` };
}

const NOT_PROBED = { 'no-destination': 404, busy: 503 } as const;

async function probeEndpoints(search: string, actions: ChangeActions): Promise<ChangeOutcome> {
  const asked = parseProbeQuery(search);
  if (typeof asked === 'string') return { kind: 'refused', view: textView(400, asked), why: asked };
  const probed = await actions.probe(asked);
  if (probed.kind !== 'probed') return { kind: 'refused', view: textView(NOT_PROBED[probed.kind], probed.why), why: probed.why };
  const { destination, mesh, endpoints } = probed.found;
  return {
    kind: 'probed',
    view: jsonView(probed.found),
    what: `${plural(endpoints.length, 'address', 'addresses')} of ${destination} of mesh ${mesh}`,
  };
}

function drainListeners(search: string, actions: ChangeActions): ChangeOutcome {
  const query = new URLSearchParams(search);
  const [graceful, skipsExit] = [query.has('graceful'), query.has('skip_exit')];
  if (skipsExit && !graceful) {
    const view = { ...OK, status: 400, body: 'skip_exit requires graceful\n' };
    return { kind: 'refused', view, why: 'skip_exit requires graceful' };
  }
  const what = skipsExit
    ? 'clients of HTTP are asked to leave'
    : `no more connections are taken${graceful ? ' when none comes' : ''}`;
  return done(() => actions.drainListeners({ graceful, closes: !skipsExit }), what);
}
