import type { Node } from '#envoy/config/core/v3/base_pb.js';

/**
 * Explains why a stream ended or is silent. Kuma ends every stream with the code UNKNOWN and a
 * text; no other file reads that text.
 */

export interface StreamEnd {
  /** gRPC status code; 0 is an orderly end. */
  readonly code: number;
  readonly message: string;
}

export type ProblemReason =
  | 'busy'
  | 'token-expired'
  | 'token-not-yet-valid'
  | 'token-revoked'
  | 'token-invalid'
  | 'token-out-of-scope'
  | 'token-of-other-zone'
  | 'token-unreadable'
  | 'token-refused'
  | 'name-not-found'
  /** The resource existed: the control plane served it until then. */
  | 'resource-deleted'
  | 'name-mismatch'
  | 'node-id-changed'
  | 'node-id-invalid'
  | 'not-an-egress'
  | 'token-unbound'
  | 'workload-missing'
  | 'mesh-scoped-only'
  | 'ended'
  | 'unreachable'
  | 'certificate-refused'
  | 'too-large'
  | 'not-a-control-plane'
  | 'unreadable-answer'
  | 'unknown';

export interface StreamProblem {
  readonly reason: ProblemReason;
  /** Advice for the operator; null where waiting is all, or nothing is known. */
  readonly advice: string | null;
}

interface Known {
  readonly reason: ProblemReason;
  readonly text: RegExp;
  readonly advice: string | ((proxy: Asked) => string);
}

/** The proxy whose stream ended. */
interface Asked {
  readonly kind: 'ZoneEgress' | 'Dataplane';
  /** Words for the token that it needs. */
  readonly token: string;
  readonly newToken: string;
}

const ZONE_EGRESS: Asked = {
  kind: 'ZoneEgress',
  token: 'zone token',
  newToken: 'generate one with `kumactl generate zone-token --zone <zone> --scope egress --valid-for 720h`',
};

function newDataplaneToken(mesh: string): string {
  return `generate one with \`kumactl generate dataplane-token --mesh ${mesh} --workload <workload> --valid-for 720h\` (add --name to bind it to the name too)`;
}

/** Reads the kind of a proxy in its node id: that of a Dataplane begins with its mesh. */
function askedBy(id: string): Asked {
  const [mesh = ''] = id.split('.');
  if (mesh === '') return ZONE_EGRESS;
  return { kind: 'Dataplane', token: `dataplane token of mesh ${mesh}`, newToken: newDataplaneToken(mesh) };
}

/** The first match counts: narrower texts come first. */
const TEXTS: readonly Known[] = [
  {
    reason: 'busy',
    text: /already an active stream/,
    advice: ({ kind }) =>
      'the control plane keeps a proxy that brings its own resource registered for 10 s after its stream ended, whatever the cause; to reconnect ' +
      `without this wait create the ${kind} in the control plane and start with --name in place of a resource file`,
  },
  {
    reason: 'token-not-yet-valid',
    text: /token is not (yet valid|valid yet)|used before issued/,
    advice: 'compare the clocks of this machine, of the control plane and of where the token was made',
  },
  {
    reason: 'token-expired',
    text: /token is expired|token has expired/,
    advice: ({ token, newToken }) => `the ${token} has expired: ${newToken}`,
  },
  {
    reason: 'mesh-scoped-only',
    text: /unsupported proxy type/,
    advice:
      'this control plane is of Kuma 3.0, which has no ZoneEgress: start as a Dataplane with a ZoneEgress listener (--proxy-type=dataplane, --dataplane-file, ' +
      'a dataplane token); docs/kuma-3.0.md says how to move',
  },
  {
    reason: 'token-unbound',
    text: /requires a workload-bound token/,
    advice: ({ newToken }) => `the MeshIdentity of the mesh makes names of workloads, and the token names none: ${newToken}`,
  },
  {
    reason: 'workload-missing',
    text: /missing required label 'kuma\.io\/workload'|has no workload label required by the token/,
    advice: 'give the Dataplane the label kuma.io/workload, with the workload that its token names',
  },
  {
    reason: 'token-invalid',
    text: /(?<!zone) from requestor.* is different than in token|dataplane workload .* is not allowed with this token/,
    advice: ({ newToken }) => `the token is bound to another name, workload or mesh than this Dataplane has: ${newToken}`,
  },
  {
    reason: 'token-invalid',
    text: /there is no signing key with KID .* Secret of name "dataplane-token-signing-key-/,
    advice: ({ newToken }) =>
      `the mesh of this Dataplane does not exist in the control plane, or its signing key was rotated: check the name of the mesh in the Dataplane, then ${newToken}`,
  },
  {
    reason: 'name-not-found',
    text: /not found; create a Dataplane/,
    advice:
      'create the Dataplane under this name in its mesh, or start with a resource file (--dataplane-file); a resource that the control plane does not take, ' +
      'such as one with two listeners on one address and port, ends like this too',
  },
  { reason: 'token-revoked', text: /revoked/, advice: ({ token, newToken }) => `the ${token} was revoked: ${newToken}` },
  {
    reason: 'token-out-of-scope',
    text: /out of token's scope/,
    advice: `the zone token is not for egresses: ${ZONE_EGRESS.newToken}`,
  },
  {
    reason: 'token-of-other-zone',
    text: /zone from requestor/,
    advice: 'the zone token is of another zone than the control plane: take one of this zone',
  },
  {
    reason: 'token-invalid',
    text: /could not parse token|exactly 1 "authorization" header/,
    advice: ({ kind, token, newToken }) =>
      'the control plane cannot read the token or did not sign it: it has to be a token of this control plane, alone in its file and without "Bearer", ' +
      `and for this ${kind} a ${token}; after the control plane lost its store old tokens are void: ${newToken}`,
  },
  {
    reason: 'token-refused',
    text: /authentication failed|could not extract credential/,
    advice: ({ token, newToken }) => `the control plane refuses the token, which has to be a ${token}: ${newToken}`,
  },
  {
    reason: 'name-not-found',
    text: /resource "[^"]*" not found|resource not found: type="(ZoneEgress|Dataplane)"/i,
    advice: ({ kind }) =>
      `create the ${kind} under this name in the control plane, or start with a resource file (--dataplane-file)`,
  },
  {
    reason: 'name-mismatch',
    text: /does not match proxy resource/,
    advice:
      'the name in the node id and the name in the resource have to be equal; a ZoneEgress has no mesh, a Dataplane has that of the node id',
  },
  {
    reason: 'node-id-changed',
    text: /Node ID cannot be changed|was authenticated for ID/,
    advice: 'the node id changed within a stream, which is a defect of this program or of a proxy on the way',
  },
  {
    reason: 'node-id-invalid',
    text: /invalid node ID/,
    advice: 'the node id has to be ".<name>" for a ZoneEgress, "<mesh>.<name>" for a Dataplane',
  },
  {
    reason: 'not-an-egress',
    text: /could not register proxy/,
    advice: ({ kind }) =>
      `the metadata of the node has to say "dataplane.proxyType": "${kind === 'Dataplane' ? 'dataplane' : 'egress'}", and the resource has to be a ${kind}`,
  },
];

const UNIMPLEMENTED = 12;
const RESOURCE_EXHAUSTED = 8;
const INTERNAL = 13;
const UNAVAILABLE = 14;

/** `id`: that of the node, which tells a ZoneEgress from a Dataplane. */
export function explainEnd({ code, message }: StreamEnd, id: string = '.'): StreamProblem {
  const known = TEXTS.find(({ text }) => text.test(message));
  if (known !== undefined) {
    const { reason, advice } = known;
    return { reason, advice: typeof advice === 'string' ? advice : advice(askedBy(id)) };
  }
  switch (code) {
    case 0:
      return { reason: 'ended', advice: null };
    case RESOURCE_EXHAUSTED:
      return { reason: 'too-large', advice: 'what the control plane sends is larger than this program takes' };
    case UNIMPLEMENTED:
      return {
        reason: 'not-a-control-plane',
        advice:
          'what answers there is no control plane of Kuma: the address has to be that of the data plane server, port 5678 by default',
      };
    case INTERNAL:
      return { reason: 'unreadable-answer', advice: null };
    case UNAVAILABLE:
      return /certificate|altnames|self.signed|unable to verify/i.test(message)
        ? {
            reason: 'certificate-refused',
            advice:
              'the certificate of the control plane is not signed by the CA that is trusted here (--ca-cert-file), or is for another host name',
          }
        : { reason: 'unreachable', advice: null };
    default:
      return { reason: 'unknown', advice: null };
  }
}

/**
 * Explains the deletion of a resource that the control plane served before; its texts are the same
 * as for one that never existed. Only a node that sends its resource creates it again.
 */
export function explainDeletion({ id, metadata }: Pick<Node, 'id' | 'metadata'>): StreamProblem {
  const kind = id.startsWith('.') ? 'ZoneEgress' : 'Dataplane';
  const resource = metadata?.['dataplane.resource'];
  const meaning = `the ${kind} of this egress was deleted at the control plane, which no longer sends clients here or changes to this egress`;
  const todo =
    typeof resource === 'string' && resource !== ''
      ? `this egress creates the ${kind} again with its next stream; to take this egress away stop its process, which otherwise brings the ${kind} back`
      : `create the ${kind} under this name again (\`kumactl apply\`), and the stream resumes without a restart; to take this egress away stop its process`;
  return { reason: 'resource-deleted', advice: `${meaning}; ${todo}` };
}

/**
 * Since 2.12 Kuma sends neither configuration nor an error when it cannot make the configuration.
 */
export function explainSilence(
  { id, metadata }: Node,
  at: { readonly host: string; readonly port: number },
  { forMs, triesDelta = false }: { readonly forMs: number; readonly triesDelta?: boolean },
): string {
  const nothing = `the control plane at ${at.host}:${at.port} took the stream and sent nothing for ${forMs / 1000} s`;
  return !hasReadinessPort({ metadata })
    ? `${nothing}: the node has no "dataplane.readinessReporter.port", without which Kuma since 2.12 makes no configuration and says so only in its own log`
    : `${nothing}: it could not make a configuration for ${id}, and its own log says why${triesDelta ? '; or it is of Kuma 3.0, which answers delta ADS only: that is tried now' : ''}`;
}

export function hasReadinessPort({ metadata }: Pick<Node, 'metadata'>): boolean {
  const port = metadata?.['dataplane.readinessReporter.port'];
  return port !== undefined && port !== '' && port !== '0';
}
