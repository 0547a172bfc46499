/** The resources of an egress of one mesh that take over what a ZoneEgress serves. */
import type { DataSource } from '../resources/data-source.ts';
import { describeSni } from '../wire/sni.ts';
import type { ExternalShape } from './migration-known.ts';

export interface MadeResource {
  readonly type: string;
  readonly mesh: string;
  readonly name: string;
  readonly [field: string]: unknown;
}

/** The name of all that a migration makes. */
export const MADE = 'zone-egress';

export function madeIdentity(mesh: string): MadeResource {
  return {
    type: 'MeshIdentity',
    mesh,
    name: 'identity',
    spec: {
      selector: { dataplane: { matchLabels: {} } },
      spiffeID: { trustDomain: '{{ .Mesh }}.{{ .Zone }}.mesh.local' },
      provider: {
        type: 'Bundled',
        bundled: { meshTrustCreation: 'Enabled', insecureAllowSelfSigned: true, autogenerate: { enabled: true } },
      },
    },
  };
}

export function madeDataplane(mesh: string, at: { readonly address: string; readonly port: number }): MadeResource {
  return {
    type: 'Dataplane',
    mesh,
    name: MADE,
    labels: { 'kuma.io/workload': MADE },
    networking: {
      address: at.address,
      listeners: [{ type: 'ZoneEgress', address: at.address, port: at.port, name: 'egress-port', state: 'NotReady' }],
    },
  };
}

/** Names the clients of one server name; no id lets in every client of the mesh. */
export interface Admitted {
  readonly sni: string;
  readonly ids: readonly string[];
}

export function madePermission(mesh: string, admitted: readonly Admitted[]): MadeResource {
  const allow = admitted.flatMap(({ sni, ids }) => {
    const asked = { sni: { type: 'Exact', value: sni } };
    return ids.length === 0 ? [asked] : ids.map((value) => ({ spiffeID: { type: 'Exact', value }, ...asked }));
  });
  return {
    type: 'MeshTrafficPermission',
    mesh,
    name: MADE,
    spec: {
      targetRef: { kind: 'Dataplane', labels: { 'kuma.io/listener-zoneegress': 'enabled' } },
      rules: [{ default: { allow } }],
    },
  };
}

export interface Successor {
  readonly resource: MadeResource;
  /** Secrets to be made of what is written inline, which is not printed, or is in a file. */
  readonly secrets: readonly { readonly name: string; readonly of: DataSource }[];
  /** The fields that name a Secret. */
  readonly sources: readonly { readonly field: string; readonly secret: string }[];
}

/** The MeshExternalService of an ExternalService; a sentence where there can be none. */
export function successorOf(services: readonly ExternalShape[]): Successor | string {
  const [first] = services;
  if (first === undefined) return 'it has no endpoint';
  const { service, mesh, tls, protocol } = first;
  if (protocol === 'kafka') return 'a MeshExternalService does not know the protocol kafka: use tcp';
  if (services.some((each) => each.protocol !== protocol || each.port !== first.port))
    return 'its endpoints have several ports or protocols, and a MeshExternalService has one: write one for each';
  const name = service
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63);
  if (name === '') return 'no name can be made of its kuma.io/service';
  const secrets: { name: string; of: DataSource }[] = [];
  const sources: { field: string; secret: string }[] = [];
  // In the form of 2.14, whose control plane gets it: that of 3.0 would be dropped there.
  const source = (of: DataSource | null | undefined, field: string, what: string): object | undefined => {
    if (of === undefined || of === null) return undefined;
    const secret = of.kind === 'secret' ? of.value : `${name}-${what}`;
    if (of.kind !== 'secret') secrets.push({ name: secret, of });
    sources.push({ field, secret });
    return { secret };
  };
  const verification = tls && {
    mode: tls.caCert === undefined ? 'SkipAll' : tls.skipHostnameVerification ? 'SkipSAN' : 'Secured',
    ...(tls.serverName === '' ? {} : { serverName: tls.serverName }),
    ...defined({ caCert: source(tls.caCert, 'caCert', 'ca') }),
    ...defined({
      clientCert: source(tls.clientCert, 'clientCert', 'cert'),
      clientKey: source(tls.clientKey, 'clientKey', 'key'),
    }),
  };
  return {
    secrets,
    sources,
    resource: {
      type: 'MeshExternalService',
      mesh,
      name,
      spec: {
        match: { type: 'HostnameGenerator', port: first.port, protocol },
        endpoints: services.map(({ host, port }) => ({ address: host, port })),
        ...(verification === null ? {} : { tls: { enabled: true, verification } }),
      },
    },
  };
}

function defined(fields: Readonly<Record<string, object | undefined>>): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Makes a MeshExternalService with this server name, to compile in place of an unknown one. */
export function standInFor(sni: string): MadeResource | null {
  const parts = describeSni(sni);
  if (parts.form !== 'kri') return null;
  const { mesh, zone, namespace, name, section } = parts;
  const ofZone = { 'kuma.io/origin': 'zone', 'kuma.io/zone': zone };
  return {
    type: 'MeshExternalService',
    mesh,
    name,
    labels: {
      'kuma.io/display-name': name,
      ...(zone === '' ? { 'kuma.io/origin': 'global' } : ofZone),
      ...(namespace === '' ? {} : { 'k8s.kuma.io/namespace': namespace }),
    },
    spec: {
      match: { type: 'HostnameGenerator', port: Number(section), protocol: 'tcp' },
      endpoints: [{ address: 'stand-in.invalid', port: Number(section) }],
    },
  };
}

/** The values of Kuma's chart with which it deploys an egress of each mesh. */
export function helmValues(meshes: readonly { readonly mesh: string }[]): object {
  return { meshes: meshes.map(({ mesh }) => ({ name: mesh, egress: { enabled: true } })) };
}
