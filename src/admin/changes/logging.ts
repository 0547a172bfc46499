/** `/logging`, with the words of Envoy. The egress has one logger. */
import type { LogLevel } from '../../observe/log.ts';
import type { View } from '../views.ts';
import type { ChangeActions, ChangeOutcome } from './change-table.ts';

const LOGGER = 'zone-egress';
const ENVOY_LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'] as const;

const OURS: Readonly<Record<string, LogLevel>> = {
  trace: 'debug',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  warn: 'warn',
  error: 'error',
  critical: 'error',
  off: 'off',
};

export function changeLevel(query: URLSearchParams, actions: Pick<ChangeActions, 'logLevel' | 'setLogLevel'>): ChangeOutcome {
  const asked = levelIn(query);
  if (asked !== null && typeof asked !== 'string') {
    const before = actions.logLevel();
    actions.setLogLevel(asked.level);
    return { kind: 'made', view: loggers(actions.logLevel()), what: `level ${before} is ${asked.level} now` };
  }
  if (asked === null) return { kind: 'asked', view: loggers(actions.logLevel()) };
  const usage = `error: ${asked}\n\n${USAGE}`;
  const { contentType, body } = loggers(actions.logLevel());
  return { kind: 'refused', view: { status: 400, contentType, body: usage + body }, why: asked };
}

const USAGE = [
  'usage: /logging?<name>=<level> (change single level)',
  'usage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)',
  'usage: /logging?level=<level> (change all levels)',
  `levels: ${ENVOY_LEVELS.join(' ')} `,
  '',
].join('\n');

/** Returns the level, why it cannot be set, or null where none is given. */
function levelIn(query: URLSearchParams): { readonly level: LogLevel } | string | null {
  const given = [...query];
  const [first] = given;
  if (first === undefined) return null;
  if (given.length > 1) return 'invalid number of parameters';
  const [name, value] = first;
  if (name === 'level' && value === '') return null;
  if (name !== 'paths') return name === 'level' || name === LOGGER ? levelNamed(value) : 'unknown logger name';
  const pairs = value.split(',').map((pair) => pair.split(':'));
  if (value === '') return 'empty path';
  let level: LogLevel | null = null;
  for (const [logger, text, ...more] of pairs) {
    if (text === undefined || more.length > 0) return 'invalid path format';
    if (logger !== LOGGER && logger !== '*') return 'unknown logger name';
    const found = levelNamed(text);
    if (typeof found === 'string') return found;
    level = found.level;
  }
  return level === null ? 'empty path' : { level };
}

function levelNamed(text: string): { readonly level: LogLevel } | string {
  const level = Object.hasOwn(OURS, text) ? OURS[text] : undefined;
  return level === undefined ? 'unknown logger level' : { level };
}

function loggers(level: LogLevel): View {
  const shown = level === 'warn' ? 'warning' : level;
  return { status: 200, contentType: 'text/plain; charset=UTF-8', body: `active loggers:\n  ${LOGGER}: ${shown}\n\n` };
}
