/**
 * The closed list of reasons why a session ended. The metric label `reason`, the log field, the
 * table in docs/reference and the output of explain are made from it; a test compares the table
 * with it.
 */
export const REFUSALS: Readonly<Record<RefusalCode, RefusalInfo>> = {
  // read the hello
  'hello-timeout': {
    step: 'hello',
    meaning: 'no complete TLS ClientHello arrived before the deadline',
    remedy: 'check what connects here: a health checker that sends nothing, or a network that loses packets',
  },
  'hello-too-large': {
    step: 'hello',
    meaning: 'the ClientHello is larger than the limit',
    remedy: 'raise the hello limit only if a real client needs it; sidecars send under 2 KiB',
  },
  'not-tls': {
    step: 'hello',
    meaning: 'the first bytes are not a TLS handshake',
    remedy: 'point plaintext clients elsewhere: a zone egress takes mesh mTLS only',
  },
  'malformed-hello': {
    step: 'hello',
    meaning: 'the bytes claim to be TLS, but the ClientHello breaks the protocol',
    remedy: 'find the client by its address; no TLS stack sends this',
  },
  'client-gone': {
    step: 'hello',
    meaning: 'the client closed the connection before a decision could be made or the endpoint was connected',
    remedy: 'nothing to do for probes; otherwise look at the client, which gave up first',
  },
  // route by name
  'no-sni': {
    step: 'route',
    meaning: 'the ClientHello names no server',
    remedy: 'a data plane always sends SNI; give `openssl s_client` a `-servername`',
  },
  'no-route': {
    step: 'route',
    meaning: 'no route has this SNI',
    remedy:
      'check the spelling, the mesh, `routing.zoneEgress`, and that the service is an external one or lives in another zone',
  },
  // terminate
  'identity-unavailable': {
    step: 'identity',
    meaning: 'the egress has no valid certificate of its own for this mesh',
    remedy: 'see the problems at load: the CA key or the certificate folder of the mesh',
  },
  'handshake-failed': {
    step: 'identity',
    meaning: 'the TLS handshake with the client did not succeed',
    remedy:
      'the detail has the TLS error: give the client a version and cipher of today, and the CA of the mesh to trust the egress by',
  },
  'no-client-certificate': {
    step: 'identity',
    meaning: 'the client sent no certificate',
    remedy: 'mTLS is required: connect through a data plane proxy, or give the client a certificate of the mesh',
  },
  'client-not-trusted': {
    step: 'identity',
    meaning: 'the client certificate is not valid under the CA of the mesh that the SNI names',
    remedy:
      'give the client a certificate that the CA of the mesh issued and that has not expired; the detail names the check: chain, expiry, purpose, key, or the form of the SPIFFE id',
  },
  'wrong-mesh': {
    step: 'identity',
    meaning: 'the client certificate carries an identity of another mesh',
    remedy: "send the SNI of the client's own mesh, or offer the service there: a client reaches services of its own mesh only",
  },
  // authorise
  denied: {
    step: 'permission',
    meaning: 'no permission allows this client to reach this destination, or one denies it',
    remedy: 'add or change the TrafficPermission or MeshTrafficPermission; the detail names the one that decided',
  },
  'unsupported-policy': {
    step: 'permission',
    meaning: 'a rule that restricts access to this destination cannot be evaluated here, so nothing passes',
    remedy: 'write the rule without what cannot be evaluated: the problems at load name it',
  },
  // choose
  'over-limit': {
    step: 'endpoint',
    meaning:
      'a limit is reached: sessions, handshakes, sessions of one source, connections of the destination (circuit breaker), or its rate of new ones',
    remedy:
      'the detail names it: raise the limit (and the file descriptor limit), change the MeshCircuitBreaker or MeshRateLimit, or find who opens too many',
  },
  misconfigured: {
    step: 'endpoint',
    meaning:
      'the destination is known, but its resource cannot be used: a missing Secret, a certificate or key that does not fit, or a wrong field',
    remedy:
      'correct the resource that the detail names; `validate` and the problems at load (/config_errors) say where it is written',
  },
  'no-endpoint': {
    step: 'endpoint',
    meaning: 'the destination has no endpoint that can be used',
    remedy:
      'check the ZoneIngress (advertised address, availableServices) or the endpoints of the external service, and what the log says of their health',
  },
  'dns-failed': {
    step: 'endpoint',
    meaning: 'the name of the endpoint could not be resolved and never has been',
    remedy: 'check the name and the resolver of the machine or pod',
  },
  'forbidden-address': {
    step: 'endpoint',
    meaning:
      'the endpoint is the egress itself, or its name resolved to a loopback, link-local, unspecified or multicast address',
    remedy: 'write the address as a literal, if it is meant; names may not lead inside the machine',
  },
  // connect
  'connect-timeout': {
    step: 'endpoint',
    meaning: 'no endpoint accepted the connection in time',
    remedy: 'check routes and firewalls between the egress and the endpoint',
  },
  'connect-refused': {
    step: 'endpoint',
    meaning: 'every endpoint refused the connection or was unreachable',
    remedy: 'check that the endpoint listens at that address and port',
  },
  'upstream-tls-failed': {
    step: 'tls',
    meaning: 'the TLS connection to the external service could not be made',
    remedy:
      'set the tls of the external service right: caCert, serverName, versions, or the client certificate that the service wants; the detail names the check',
  },
  // splice
  'malformed-request': {
    step: 'request',
    meaning: 'the client sent a request that is not valid HTTP, or that two readers could read in two ways',
    remedy: 'the detail has the status that the client was answered: find the client by its identity',
  },
  'request-timeout': {
    step: 'splice',
    meaning: 'a request or its answer took longer than the route allows, or no byte of them moved for too long',
    remedy: 'look at the service first; otherwise raise the timeout of the MeshTimeout that the detail names',
  },
  'fault-injected': {
    step: 'request',
    meaning: 'a MeshFaultInjection or FaultInjection answered the request in place of the service',
    remedy: 'remove the fault if it is not meant for this client',
  },
  'endpoint-failed': {
    step: 'splice',
    meaning: 'the service ended or reset the connection before its answer was whole, or answered what is not valid HTTP',
    remedy: 'look at the service and what stands before it: its own log, its idle timeout, its limits',
  },
  'idle-timeout': {
    step: 'splice',
    meaning: 'no byte moved in either direction for the idle timeout, or for the half-closed timeout after one side had ended',
    remedy: 'raise the timeout that the detail names, or let the application send keep-alives',
  },
  'tls-error': {
    step: 'splice',
    meaning:
      'one side broke TLS after its handshake: a record that cannot be decrypted, an alert, or more than 32 records that carry nothing',
    remedy:
      'the detail has the side and the TLS error: look for what changes bytes on the way (a middlebox, a broken network card), or at the TLS library of that side',
  },
  'policy-changed': {
    step: 'splice',
    meaning: 'a new configuration took the route away or denies this client now, and the drain time is over',
    remedy: 'nothing to do where the change was meant; otherwise put the route or the permission back',
  },
  'ended-by-operator': {
    step: 'splice',
    meaning: 'an operator ended the session over the admin socket or pages',
    remedy: 'nothing to do: the detail and the log have who ended it; its client may connect again',
  },
  drained: {
    step: 'splice',
    meaning: 'the egress was shut down and the session had not ended by the end of the drain time',
    remedy: 'raise the drain time, or let clients reconnect',
  },
  'internal-error': {
    step: 'splice',
    meaning: 'a bug or a broken environment; the log has the stack',
    remedy: 'report it, with the log line',
  },
};

export interface RefusalInfo {
  readonly step: Step;
  readonly meaning: string;
  readonly remedy: string;
}

/** The steps of a connection, as explain prints them. */
export type Step = 'hello' | 'route' | 'identity' | 'permission' | 'request' | 'endpoint' | 'tls' | 'splice';

export type RefusalCode =
  | 'hello-timeout'
  | 'hello-too-large'
  | 'not-tls'
  | 'malformed-hello'
  | 'client-gone'
  | 'no-sni'
  | 'no-route'
  | 'identity-unavailable'
  | 'handshake-failed'
  | 'no-client-certificate'
  | 'client-not-trusted'
  | 'wrong-mesh'
  | 'denied'
  | 'unsupported-policy'
  | 'over-limit'
  | 'misconfigured'
  | 'no-endpoint'
  | 'dns-failed'
  | 'forbidden-address'
  | 'connect-timeout'
  | 'connect-refused'
  | 'upstream-tls-failed'
  | 'malformed-request'
  | 'request-timeout'
  | 'fault-injected'
  | 'endpoint-failed'
  | 'idle-timeout'
  | 'tls-error'
  | 'policy-changed'
  | 'ended-by-operator'
  | 'drained'
  | 'internal-error';

/** How a session ended that carried bytes and met no problem. */
export const NORMAL_ENDS: Readonly<Record<NormalEnd, string>> = {
  closed: 'both sides ended',
  'client-reset': 'the client reset the connection',
  'endpoint-reset': 'the endpoint reset the connection',
};

export type NormalEnd = 'closed' | 'client-reset' | 'endpoint-reset';

export type EndReason = RefusalCode | NormalEnd;

/**
 * An expected end for one client: a value in the pure rooms, thrown only inside the session as
 * `Refused`.
 */
export interface Refusal {
  readonly kind: 'refusal';
  readonly code: RefusalCode;
  /**
   * One sentence for an operator: what was attempted, the value, the limit. It never holds a
   * secret.
   */
  readonly detail: string;
  /** For a refused certificate of the other side, the check that it failed. */
  readonly check?: CertificateCheck;
}

/**
 * `chain`: the certificate leads to the authority, is valid and of the right kind. `names`: it has
 * the right names.
 */
export type CertificateCheck = 'chain' | 'names';

export function refuse(code: RefusalCode, detail: string, check?: CertificateCheck): Refusal {
  return { kind: 'refusal', code, detail, ...(check === undefined ? {} : { check }) };
}

/** Carries a refusal up the walk of a session to the one catch. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, options?: { cause: unknown }) {
    super(refusal.detail, options);
    this.name = 'Refused';
    this.refusal = refusal;
  }
}
