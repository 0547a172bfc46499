/**
 * The closed list of alarms: things that are wrong with the egress, or will be soon, and that an
 * operator can act on. The page `/alarms`, the log line, the metric and the table of the guide are
 * made from it.
 */
export const ALARMS: Readonly<Record<AlarmName, AlarmInfo>> = {
  'certificate-expires': {
    severities: ['warning', 'critical'],
    subject: 'mesh',
    meaning:
      'the certificate of the egress in a mesh ends soon, because the one that should renew it does not (warning: a tenth of its life is left, 30 days at most; critical: a fiftieth, 3 days at most, or it has expired and clients are refused)',
    remedy:
      'where a control plane sends it: check the stream (/dataplanes) and the mTLS backend or MeshIdentity of the mesh; where it comes from a folder: the program that writes it; where the egress issues it: the CA of the mesh, which may end sooner',
  },
  'client-trust-expires': {
    severities: ['warning', 'critical'],
    subject: 'mesh',
    meaning:
      'the last CA by which clients of a mesh are trusted ends soon; after that each of them is refused with client-not-trusted',
    remedy:
      'rotate the CA of the mesh: add the new one beside the old one, let the clients get new certificates, then remove the old one',
  },
  'service-certificate-expires': {
    severities: ['warning', 'critical'],
    subject: 'destination',
    meaning: 'the client certificate that the egress shows to a service ends soon',
    remedy: 'put a new clientCert and clientKey into the resource of the service, or into the Secret that it names',
  },
  'service-trust-expires': {
    severities: ['warning', 'critical'],
    subject: 'destination',
    meaning: 'the last CA by which the egress trusts a service ends soon; after that its sessions end with upstream-tls-failed',
    remedy: 'put the new CA into the caCert of the resource of the service',
  },
  'admin-certificate-expires': {
    severities: ['warning', 'critical'],
    subject: 'option',
    meaning:
      'the certificate of the admin listener, or the last CA by which the clients of its changes are trusted, ends soon; after that Prometheus and the commands refuse the listener, or it refuses each change',
    remedy: 'put a new one into the file of the option that the sentence names: it counts for the next connection',
  },
  'token-expires': {
    severities: ['warning', 'critical'],
    subject: 'proxy',
    meaning:
      'the token for the control plane ends soon, or has expired: the present stream goes on, and the control plane refuses the next one',
    remedy: 'write a new token into the token file; it is read again for each stream. docs/tokens.md has the commands',
  },
  'control-plane-away': {
    severities: ['warning'],
    subject: 'proxy',
    meaning: 'there is no stream from the control plane for 15 s or more; what was live stays live, and no change arrives',
    remedy:
      'the sentence has the reason: check the control plane, the network, the token and its CA; /dataplanes has the state of each proxy',
  },
  'kept-configuration': {
    severities: ['warning'],
    subject: 'egress',
    meaning: 'the egress was started from the configuration in --state-dir, and the control plane has sent none since',
    remedy: 'bring the control plane back; what is served is as old as the sentence says',
  },
  'resources-refused': {
    severities: ['warning'],
    subject: 'type of resource',
    meaning:
      'the egress refuses (NACK) what the control plane sends of a type; it sends the same again and again, and nothing newer until it is corrected',
    remedy: 'correct the policy or resource that the sentence names, at the control plane',
  },
  'configuration-rejected': {
    severities: ['warning'],
    subject: 'egress',
    meaning: 'the last load of the configuration was refused as a whole; the configuration before it stays live',
    remedy: 'correct the resource at the place that the sentence names; /config_errors has every problem',
  },
  'configuration-errors': {
    severities: ['warning'],
    subject: 'egress',
    meaning: 'parts of the live configuration have errors and are left out or refuse; the rest is served',
    remedy: '/config_errors has each with its place',
  },
  'no-identity': {
    severities: ['critical'],
    subject: 'mesh',
    meaning: 'the egress has no certificate for a mesh: sessions that it has to terminate are refused with identity-unavailable',
    remedy: 'correct the CA, its key or the folder of certificates of the mesh: /config_errors says what is wrong with it',
  },
  'destination-broken': {
    severities: ['critical'],
    subject: 'destination',
    meaning: 'the resource of a destination cannot be used: each of its clients is refused with misconfigured',
    remedy: 'correct what the sentence names: a missing Secret, a certificate or key that does not fit, a wrong field',
  },
  'policy-unsupported': {
    severities: ['critical'],
    subject: 'destination',
    meaning:
      'a rule that restricts access to a destination cannot be evaluated here: each of its clients is refused with unsupported-policy',
    remedy: 'write the rule without what cannot be evaluated; /config_errors has its place',
  },
  'no-endpoint': {
    severities: ['critical'],
    subject: 'destination',
    meaning:
      'a destination has no address that may be dialled for 15 s or more: none is configured, its name does not resolve, or it is forbidden; its clients are refused',
    remedy: 'check the ZoneIngress or the endpoints of the external service, and the name in DNS',
  },
  'endpoints-unhealthy': {
    severities: ['critical'],
    subject: 'destination',
    meaning: 'health checks or outlier detection hold all endpoints of a destination for bad, for 15 s or more',
    remedy: 'look at the service; `zone-egress explain --probe` dials it and says what fails',
  },
  'refusals-jump': {
    severities: ['warning'],
    subject: 'destination',
    meaning:
      'a destination refuses far more than it did in the last hour: at least 20 in a minute, and five times as many as usual',
    remedy:
      '`zone-egress decisions --outcome refused --since 10m` lists them with their reasons; `zone-egress explain --id` tells what to change',
  },
  'limit-near': {
    severities: ['warning', 'critical'],
    subject: 'limit',
    meaning:
      'a limit is 80 % full for 10 s or more (critical from 95 %): sessions, handshakes, sessions of one client, open files, memory, or the connections of a destination; it ends below 70 %',
    remedy: 'raise the limit, add an egress, or find who uses so much: `zone-egress sessions --sort age`',
  },
  'data-side-silent': {
    severities: ['critical'],
    subject: 'data side',
    meaning: 'a thread of sessions does not answer: its sessions stand still; it is replaced if it stays silent',
    remedy: 'nothing at once; report it with the lines of the log around it',
  },
  'not-listening': {
    severities: ['critical'],
    subject: 'egress',
    meaning: 'the listener for clients could not be opened, or was lost: no client can connect',
    remedy: 'the log has the error; free the address and port, or change them: it is tried again',
  },
  'lines-dropped': {
    severities: ['warning'],
    subject: 'log, access log, recording or collector',
    meaning:
      'lines of the log, of an access log or of the recording, or spans and log records for the collector of --otlp-endpoint, were dropped in the last 10 minutes, because their reader, disk or collector is too slow, full or away',
    remedy:
      'look at the reader of standard output, or at the disk; lower --log-level or raise --log-sample; for the collector the log has the reason and what to do',
  },
  'internal-errors': {
    severities: ['warning'],
    subject: 'egress',
    meaning: 'a bug or a broken environment in the last 10 minutes, such as a thread of sessions that died and was replaced',
    remedy: 'report it: the log has the stack',
  },
};

export type AlarmName =
  | 'certificate-expires'
  | 'client-trust-expires'
  | 'service-certificate-expires'
  | 'service-trust-expires'
  | 'admin-certificate-expires'
  | 'token-expires'
  | 'control-plane-away'
  | 'kept-configuration'
  | 'resources-refused'
  | 'configuration-rejected'
  | 'configuration-errors'
  | 'no-identity'
  | 'destination-broken'
  | 'policy-unsupported'
  | 'no-endpoint'
  | 'endpoints-unhealthy'
  | 'refusals-jump'
  | 'limit-near'
  | 'data-side-silent'
  | 'not-listening'
  | 'lines-dropped'
  | 'internal-errors';

/** `critical`: clients are refused, or will be soon unless an operator acts. */
export type AlarmSeverity = 'warning' | 'critical';

export interface AlarmInfo {
  readonly severities: readonly AlarmSeverity[];
  /** The kind of thing that it is about; each has an alarm of its own. */
  readonly subject: string;
  readonly meaning: string;
  readonly remedy: string;
}

/** One thing that is wrong at this moment, as `/alarms` shows it. */
export interface Alarm {
  readonly name: AlarmName;
  readonly severity: AlarmSeverity;
  /** When it was first seen; ISO 8601. */
  readonly since: string;
  /** Names the mesh, the destination, the limit that it is about. */
  readonly subject: string;
  /** One sentence about this case. */
  readonly says: string;
  /** The remedy. */
  readonly do: string;
}
