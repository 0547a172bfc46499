import type { X509Certificate } from 'node:crypto';
import { quote } from '../../base/key-material.ts';
import { contentHash } from '../../model/names.ts';
import type { MeshName } from '../../model/names.ts';
import type { Mesh, TrustDomain } from '../../model/snapshot.ts';
import type { Context } from '../context.ts';
import type { DataSource } from '../data-source.ts';
import type { Findings } from '../findings.ts';
import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import type { IdentityProvider, MeshIdentityResource } from '../kinds/mesh-identity.ts';
import type { PemPair, PemStore } from '../pem.ts';
import type { MeshResources } from '../resource-set.ts';
import { renderGoTemplate } from '../template.ts';
import type { Tags } from '../tags.ts';
import { labelsOf } from './dataplane-labels.ts';
import { selects } from '../tags.ts';

const DEFAULT_TRUST_DOMAIN = '{{ .Mesh }}.{{ .Zone }}.mesh.local';
const DEFAULT_PATH = { universal: '/workload/{{ .Workload }}', kubernetes: '/ns/{{ .Namespace }}/sa/{{ .ServiceAccount }}' };

/**
 * Makes the identity that terminates the mTLS of a mesh at its Dataplane: the certificate of the
 * MeshIdentity that selects it, and the MeshTrusts of the mesh. Where a part is missing, which is
 * reported, only the terminated routes are refused.
 */
export function scopedIdentity(
  context: Context,
  resources: MeshResources,
  dataplane: DataplaneDefinition,
  { key, pems, folders }: { readonly key: MeshName; readonly pems: PemStore; readonly folders: boolean },
): Mesh {
  const all = context.findings.within(`Mesh ${resources.mesh.meta.name} of Dataplane ${dataplane.meta.name}`);
  const nothing = (): Mesh => ({
    name: key,
    trust: contentHash(''),
    identity: { kind: 'none', why: all.broken() ?? 'its MeshIdentity cannot be used' },
  });
  if (folders) {
    all.error(
      dataplane.meta.at,
      '',
      'an egress of one mesh has its certificate from a MeshIdentity: a folder of certificates (--identities) is for ZoneEgresses only',
    );
    return nothing();
  }
  const identity = matching(resources.meshIdentities, labelsOf(dataplane, context.zone));
  if (identity === null) {
    const there = resources.meshIdentities.length === 0 ? 'the mesh has none' : `the mesh has ${resources.meshIdentities.length}`;
    all.error(dataplane.meta.at, 'labels', `no MeshIdentity selects this Dataplane (${there}): its listener has no certificate`);
    return nothing();
  }
  const written = identity.findings.broken();
  if (written !== null) all.breaks(`MeshIdentity ${identity.meta.name}: ${written}`);
  const issued = written === null ? issuedBy(identity, { context, resources, dataplane, findings: all }) : null;
  if (issued === null) return nothing();
  const domains = trustOf(resources, issued, { context, pems });
  if (domains.length === 0) {
    all.error(identity.meta.at, '', `no client is trusted: mesh ${resources.mesh.meta.name} has no MeshTrust`);
    return nothing();
  }
  if (!domains.some(({ name }) => name === issued.trustDomain)) {
    const message = `its trust domain ${issued.trustDomain} is in no MeshTrust: no client of it is let in, and none verifies this egress`;
    context.findings.warn(identity.meta.at, 'spec.provider.bundled.meshTrustCreation', message);
  }
  const bundle = pems.bundle(domains.map(({ text }) => text).join('\n'));
  if (bundle.kind === 'problem') return nothing();
  return {
    name: key,
    trust: bundle.hash,
    trustDomains: domains.map(({ name, trust }) => ({ name, trust })),
    identity: {
      kind: 'issue',
      caCert: issued.pair.cert,
      caKey: issued.pair.key,
      lifetimeMs: issued.lifetimeMs,
      id: issued.id,
    },
  };
}

/** Returns the one whose selector has the most labels; the first by name among equals. */
function matching(identities: readonly MeshIdentityResource[], labels: Tags): MeshIdentityResource | null {
  const [first] = identities
    .filter(({ selector }) => selector !== null && selects(selector, labels))
    .toSorted((a, b) => (b.selector?.size ?? 0) - (a.selector?.size ?? 0) || (a.meta.name < b.meta.name ? -1 : 1));
  return first ?? null;
}

interface Issued {
  readonly pair: PemPair;
  readonly lifetimeMs: number;
  readonly id: string;
  readonly trustDomain: string;
  /** True when its CA verifies clients too. */
  readonly isTrusted: boolean;
}

interface Issuing {
  readonly context: Context;
  readonly resources: MeshResources;
  readonly dataplane: DataplaneDefinition;
  readonly findings: Findings;
}

function issuedBy(identity: MeshIdentityResource, { context, resources, dataplane, findings }: Issuing): Issued | null {
  const { provider, meta } = identity;
  if (provider.kind === 'none') return null;
  if (provider.kind === 'spire') {
    findings.error(meta.at, 'spec.provider.type', 'is Spire: this egress issues its certificate from a CA of type Bundled only');
    return null;
  }
  const names = namesOf(identity, dataplane, context.zone, findings);
  const sources = sourcesOf(identity, provider, resources, findings);
  const pair = sources === null ? null : context.loader.pair(resources, { ...sources, use: 'issuer' }, findings);
  if (sources === null || pair === null || names === null) return null;
  const [ca] = pair.certificates;
  const problem = ca === undefined ? null : caProblem(ca, provider);
  if (problem !== null) {
    findings.error(sources.cert.at, sources.cert.path, problem);
    return null;
  }
  return { pair, lifetimeMs: provider.lifetimeMs, isTrusted: provider.isTrusted, ...names };
}

function caProblem(ca: X509Certificate, { allowsSelfSigned }: Extract<IdentityProvider, { kind: 'bundled' }>): string | null {
  if (!ca.ca) return "basic constraint 'CA' must be set to 'true' (see X509-SVID: 4.1. Basic Constraints)";
  if (ca.checkIssued(ca) && !allowsSelfSigned)
    return 'self-signed certificates are not allowed: set spec.provider.bundled.insecureAllowSelfSigned, or give a CA that another one signed';
  return null;
}

/** Returns the SPIFFE id of the Dataplane, from the templates of its MeshIdentity. */
function namesOf(
  { trustDomain, path, meta }: MeshIdentityResource,
  dataplane: DataplaneDefinition,
  zone: string,
  findings: Findings,
): { readonly id: string; readonly trustDomain: string } | null {
  const own = { fields: { Mesh: meta.mesh, Zone: meta.labels.get('kuma.io/zone') ?? zone }, labels: meta.labels };
  const domain = renderGoTemplate(trustDomain ?? DEFAULT_TRUST_DOMAIN, own);
  if (domain.kind === 'problem') {
    findings.error(meta.at, 'spec.spiffeID.trustDomain', domain.problem);
    return null;
  }
  const labels = labelsOf(dataplane, zone);
  const fields = {
    TrustDomain: domain.text,
    Namespace: labels.get('k8s.kuma.io/namespace') ?? dataplane.meta.namespace,
    ServiceAccount: labels.get('k8s.kuma.io/service-account') ?? '',
    Workload: labels.get('kuma.io/workload') ?? '',
  };
  const rest = renderGoTemplate(path ?? DEFAULT_PATH[dataplane.meta.form], { fields, labels });
  if (rest.kind === 'problem') {
    const asksWorkload = fields.Workload === '' && /Workload|kuma\.io\/workload/.test(rest.problem);
    const problem = asksWorkload ? `missing required label 'kuma.io/workload'` : rest.problem;
    findings.error(dataplane.meta.at, 'labels', `${problem} - dataplane is selected by MeshIdentity ${quote(meta.name)}`);
    return null;
  }
  const id = `spiffe://${domain.text}${rest.text}`;
  if (/^spiffe:\/\/[a-z0-9._-]+(?:\/[A-Za-z0-9._:-]+)+$/.test(id)) return { id, trustDomain: domain.text };
  findings.error(meta.at, 'spec.spiffeID', `${quote(id)} is no SPIFFE id`);
  return null;
}

function sourcesOf(
  { meta }: MeshIdentityResource,
  { ca }: Extract<IdentityProvider, { kind: 'bundled' }>,
  { secrets, mesh }: MeshResources,
  findings: Findings,
): { readonly cert: DataSource; readonly key: DataSource } | null {
  if (ca.kind === 'provided') return ca.cert === null || ca.key === null ? null : { cert: ca.cert, key: ca.key };
  const names = [`${meta.displayName}-root-ca`, `${meta.displayName}-private-key`] as const;
  const missing = names.filter((name) => !secrets.has(name));
  if (missing.length > 0) {
    const message = `no certificate for the egress: mesh ${quote(mesh.meta.name)} has no Secret ${missing.map(quote).join(' and ')}; put the CA that the control plane made among the resources as Secrets, or give one under ca`;
    findings.error(meta.at, 'spec.provider.bundled.autogenerate', message);
    return null;
  }
  const [cert, key] = names.map((name): DataSource => {
    const secret = secrets.get(name);
    return { kind: 'secret', value: name, path: secret?.field ?? 'data', at: secret?.at ?? meta.at };
  });
  return cert === undefined || key === undefined ? null : { cert, key };
}

interface DomainText extends TrustDomain {
  readonly text: string;
}

/** Returns each domain once, with all of its trust; sorted by name. */
function trustOf(
  resources: MeshResources,
  { pair, trustDomain, isTrusted }: Issued,
  { context, pems }: { readonly context: Context; readonly pems: PemStore },
): readonly DomainText[] {
  const texts = new Map<string, Set<string>>();
  const add = (domain: string, text: string): void => {
    const known = texts.get(domain) ?? new Set<string>();
    texts.set(domain, known.add(text.trim()));
  };
  for (const { trustDomain: domain, bundles, findings } of resources.meshTrusts) {
    if (domain === '') continue;
    for (const source of bundles) {
      const hash = context.loader.bundle(resources, source, findings);
      const text = hash === null ? undefined : pems.secrets.get(hash);
      if (text !== undefined) add(domain, text);
    }
  }
  const ca = pems.secrets.get(pair.cert);
  if (isTrusted && ca !== undefined) add(trustDomain, ca);
  return [...texts]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, all]) => {
      const text = `${[...all].join('\n')}\n`;
      const bundle = pems.bundle(text);
      return bundle.kind === 'problem' ? [] : [{ name, trust: bundle.hash, text }];
    });
}
