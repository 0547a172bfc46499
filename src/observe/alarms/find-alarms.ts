import { plural } from '../../base/plural.ts';
import { shortAmount } from '../../base/short-text.ts';
import type { AlarmName, AlarmSeverity } from '../../model/alarm.ts';
import type { AlarmFacts, AlarmFinding, CertificateFact, LimitFact, RefusalFact, TokenLifeFact } from './alarm-facts.ts';

/** Returns the severity with which an alarm is on; null while it is off. */
export type IsOn = (name: AlarmName, subject: string) => AlarmSeverity | null;

const DAY_MS = 86_400_000;
/** The rest of a life that is left when an alarm begins: a share of it, at most so long. */
const SOON = { share: 0.1, atMostMs: 30 * DAY_MS };
const VERY_SOON = { share: 0.02, atMostMs: 3 * DAY_MS };
/** The fill of a limit at which an alarm begins, turns critical, turns back, and ends. */
const NEAR = 0.8;
const FULL = 0.95;
const FULL_NO_MORE = 0.9;
const NEAR_NO_MORE = 0.7;
/** Refusals in a minute, and how many times the usual number they are. */
const JUMP = { least: 20, times: 5 };
const JUMP_NO_MORE = { least: 10, times: 2.5 };

/**
 * Returns what is wrong by these facts. An alarm that is on ends at another mark than the one at
 * which it begins, so that a number around a mark does not make it come and go.
 */
export function findAlarms(facts: AlarmFacts, isOn: IsOn): readonly AlarmFinding[] {
  return [
    ...facts.certificates.flatMap((each) => certificateAlarm(each, facts.now) ?? []),
    ...facts.tokens.flatMap((each) => tokenAlarm(each, facts.now) ?? []),
    ...controlPlaneAlarms(facts),
    ...configurationAlarms(facts),
    ...facts.destinations.map(({ name, subject, why }) => finding(name, 'critical', subject, why)),
    ...facts.refusals.flatMap((each) => jumpAlarm(each, isOn) ?? []),
    ...facts.limits.flatMap((each) => limitAlarm(each, isOn) ?? []),
    ...processAlarms(facts),
  ];
}

function finding(name: AlarmName, severity: AlarmSeverity, subject: string, says: string): AlarmFinding {
  return { name, severity, subject, says };
}

const CERTIFICATES: Readonly<Record<CertificateFact['name'], string>> = {
  'certificate-expires': 'the certificate of this egress in mesh',
  'client-trust-expires': 'the CA by which clients are trusted in mesh',
  'service-certificate-expires': 'the client certificate for',
  'service-trust-expires': 'the CA by which this service is trusted:',
  'admin-certificate-expires': 'for the admin listener, the certificate in',
};

function certificateAlarm({ name, subject, notBefore, notAfter }: CertificateFact, now: number): AlarmFinding | null {
  const severity = expiry(now, notBefore, notAfter);
  return severity === null ? null : finding(name, severity, subject, `${CERTIFICATES[name]} ${subject} ${ending(now, notAfter)}`);
}

function tokenAlarm({ proxy, issuedAt, expiresAt }: TokenLifeFact, now: number): AlarmFinding | null {
  const severity = expiry(now, issuedAt ?? expiresAt - 10 * SOON.atMostMs, expiresAt);
  return severity === null
    ? null
    : finding('token-expires', severity, proxy, `the token of ${proxy} for the control plane ${ending(now, expiresAt)}`);
}

function expiry(now: number, from: number, until: number): AlarmSeverity | null {
  const left = until - now;
  const within = ({ share, atMostMs }: typeof SOON): boolean => left <= Math.min(atMostMs, (until - from) * share);
  return left <= 0 || within(VERY_SOON) ? 'critical' : within(SOON) ? 'warning' : null;
}

function ending(now: number, until: number): string {
  return `${until <= now ? 'expired' : 'ends'} ${new Date(until).toISOString()}`;
}

function* controlPlaneAlarms({ controlPlanes, keptSince }: AlarmFacts): Generator<AlarmFinding> {
  for (const { proxy, away, refused } of controlPlanes) {
    if (away !== null) yield finding('control-plane-away', 'warning', proxy, away);
    for (const { type, times, message } of refused) {
      const subject = controlPlanes.length === 1 ? type : `${type} for ${proxy}`;
      const often = times === 1 ? 'once' : `${times} times in a row`;
      yield finding('resources-refused', 'warning', subject, `what the control plane sends was refused ${often}: ${message}`);
    }
  }
  if (keptSince !== null) {
    const says = `the live configuration was kept at ${new Date(keptSince).toISOString()}, because the control plane was away at the start`;
    yield finding('kept-configuration', 'warning', 'egress', says);
  }
}

function* configurationAlarms({ lastLoad, noIdentity }: AlarmFacts): Generator<AlarmFinding> {
  for (const { mesh, why } of noIdentity) yield finding('no-identity', 'critical', mesh, why);
  if (lastLoad === null || (!lastLoad.isRejected && lastLoad.errors === 0)) return;
  const { isRejected, errors, first } = lastLoad;
  const count = plural(errors, 'error');
  if (isRejected) yield finding('configuration-rejected', 'warning', 'egress', `the last load has ${count}: ${first}`);
  else yield finding('configuration-errors', 'warning', 'egress', `the live configuration has ${count}: ${first}`);
}

function jumpAlarm({ subject, inLastMinute, usual, commonest }: RefusalFact, isOn: IsOn): AlarmFinding | null {
  const { least, times } = isOn('refusals-jump', subject) === null ? JUMP : JUMP_NO_MORE;
  if (inLastMinute < least || inLastMinute < times * usual) return null;
  const says = `${inLastMinute} refusals in a minute, where ${usual < 1 ? 'less than one is' : `about ${Math.round(usual)} are`} usual; most with ${commonest}`;
  return finding('refusals-jump', 'warning', subject, says);
}

function limitAlarm({ subject, used, limit, unit }: LimitFact, isOn: IsOn): AlarmFinding | null {
  if (limit <= 0) return null;
  const before = isOn('limit-near', subject);
  const fill = used / limit;
  if (fill < (before === null ? NEAR : NEAR_NO_MORE)) return null;
  const severity = fill >= (before === 'critical' ? FULL_NO_MORE : FULL) ? 'critical' : 'warning';
  const text = (amount: number): string => (unit === 'bytes' ? `${shortAmount(amount)}B` : String(amount));
  return finding('limit-near', severity, subject, `${text(used)} of ${text(limit)} are used: ${Math.floor(fill * 100)} %`);
}

function* processAlarms({ silentSides, isListening, dropped, internalErrors }: AlarmFacts): Generator<AlarmFinding> {
  for (const { side, forMs } of silentSides)
    yield finding('data-side-silent', 'critical', `data side ${side}`, `it has not answered for ${Math.round(forMs / 1_000)} s`);
  if (!isListening) yield finding('not-listening', 'critical', 'egress', 'there is no open listener for clients');
  for (const { of, lines } of dropped)
    if (lines > 0) {
      const what = of === 'collector' ? 'spans and log records for the collector of --otlp-endpoint' : 'lines';
      yield finding('lines-dropped', 'warning', of, `${lines} ${what} were dropped in the last 10 minutes`);
    }
  const { count, last } = internalErrors;
  if (count > 0) {
    const often = count === 1 ? 'one internal error' : `${count} internal errors`;
    yield finding('internal-errors', 'warning', 'egress', `${often} in the last 10 minutes, the last: ${last}`);
  }
}
