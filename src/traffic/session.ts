import type { Socket } from 'node:net';
import { Refused, refuse } from '../base/refusal.ts';
import type { EndReason } from '../base/refusal.ts';
import { chooseEndpoints } from '../routing/decide.ts';
import { logSession } from './access-lines.ts';
import { clientLeg } from './leg.ts';
import { connectCluster, namesKnown } from './session-connect.ts';
import type { SessionContext } from './session-context.ts';
import { faultRefusal, setupRefusal, sayGoodbye } from './session-end.ts';
import { admitNow, clusterNow, routeNow, takeRate, unlessRefused } from './session-judgement.ts';
import { relay } from './session-relay.ts';
import { serveHttpClient } from './session-requests.ts';
import { openSession } from './session-state.ts';
import type { Session } from './session-state.ts';
import { endWithClient, terminateTls } from './session-tls.ts';
import { readHello } from './sniff.ts';
import { tlsErrorOf } from './tls-error.ts';

/**
 * Walks a connection from accept to close. It always ends with every socket closed or closing, and
 * with exactly one record.
 */
export async function runSession(accepted: Socket, context: SessionContext): Promise<void> {
  const session = openSession(accepted, context);
  try {
    session.draft.finish(await walkSteps(session, accepted, context), '');
  } catch (error) {
    const refusal = error instanceof Refused ? error.refusal : faultRefusal(error, context);
    session.draft.finish(refusal.code, refusal.detail, refusal.check);
    sayGoodbye(session, accepted, refusal);
  } finally {
    session.proven();
    session.scope.end();
    context.closeSession(session);
  }
}

/**
 * Reads the hello, routes by name, terminates if the route says so, authorises, chooses, connects,
 * relays. It dials nothing before the decision. What may have changed during a wait is judged
 * again.
 */
async function walkSteps(session: Session, accepted: Socket, context: SessionContext): Promise<EndReason> {
  const { steps, draft, scope } = session;
  const { clock, settings } = context;
  const deadline = scope.after(settings.setupTimeoutMs, () => steps.end(setupRefusal(session, settings.setupTimeoutMs)));

  const sniffed = await readHello(steps, accepted, { maxHelloBytes: settings.maxHelloBytes, from: session.from });
  draft.hello(sniffed.hello, clock.now());

  const name = sniffed.hello.serverName;
  const { route } = routeNow(session, name, context);
  takeRate(session, route, context);

  if (route.kind === 'passthrough') endWithClient(session, accepted);
  const tls = route.kind === 'terminate' ? await terminateTls(session, accepted, { context, route, sniffed }) : null;
  if (tls !== null && route.kind === 'terminate' && route.http !== undefined && settings.http) {
    const served = (): void => deadline.cancel();
    return serveHttpClient(session, tls, { context, name, answersDenied: route.http.answersDenied, served });
  }
  let admitted = admitNow(session, name, context);
  if (!context.names.allKnown(clusterNow(admitted))) {
    await namesKnown(session, clusterNow(admitted), context);
    admitted = admitNow(session, name, context);
  }
  const cluster = clusterNow(admitted);
  const view = context.view(cluster, session.clientAddress);
  const { targets } = unlessRefused(chooseEndpoints(admitted, cluster, view));

  const endpoint = await connectCluster(session, targets, { cluster, context });
  admitNow(session, name, context);
  steps.check();
  // A socket that an error has ended emits no more events, but its close has not come yet.
  const broken = tls === null ? null : tlsErrorOf(tls);
  if (broken !== null) throw new Refused(refuse('tls-error', `TLS with the client: ${broken}`));
  deadline.cancel();
  if (route.accessLogs !== undefined) logSession(route, draft.record(clock.now()), 'TcpUpstreamConnected', context);
  const { leg: client, late } = clientLeg(accepted, tls, context);
  return relay(session, { client, endpoint }, [tls === null ? sniffed.bytes : null, late]);
}
