/** An egress of one mesh from files: what it serves, and what is said of mistakes. */
import t from 'tap';
import { ca, linesOf, routeOf, snapshotOf, terminated } from './fixtures/compiling.ts';
import { makeCa } from './fixtures/pki.ts';
import {
  authorityYaml,
  compileScoped,
  dataplaneYaml,
  identityYaml,
  permissionYaml,
  secretYaml,
  serviceYaml,
} from './fixtures/scoped.ts';

const MESH = 'type: Mesh\nname: m\n';
const SNI = 'sni.extsvc.m.partner.9000';
const USUAL = [MESH, dataplaneYaml('m'), identityYaml('m'), serviceYaml('m', 'partner', 9_000), authorityYaml('m', ca)];

t.test('a Dataplane serves the MeshExternalServices of its mesh by names made of the KRI', async (t) => {
  const compiled = compileScoped(USUAL);
  t.same(linesOf(compiled, 'error'), []);
  const snapshot = snapshotOf(compiled);
  t.match(compiled, { listener: { name: 'm.egress', address: '10.0.0.8', port: 10_002, adminPort: 9_901 } });
  t.equal(routeOf(compiled, SNI).cluster, 'kri_extsvc_m___partner_9000');
  t.match(
    [...snapshot.meshes.values()],
    [
      {
        name: 'm',
        trustDomains: [{ name: 'm.zone-1.mesh.local' }],
        identity: { kind: 'issue', lifetimeMs: 86_400_000, id: 'spiffe://m.zone-1.mesh.local/workload/egress' },
      },
    ],
  );
  t.match(terminated(compiled, SNI).permission, { kind: 'deny-all', by: 'no MeshTrafficPermission for partner' });
});

t.test('a service that was made in a zone has the zone in its names, and is of that zone only', async (t) => {
  const labelled = (zone: string): string =>
    serviceYaml('m', 'partner', 9_000).replace('spec:', `labels: { kuma.io/origin: zone${zone} }\nspec:`);
  const with_ = (service: string) =>
    compileScoped([...USUAL.slice(0, 3), service, authorityYaml('m', ca), serviceYaml('m', 'a', 1)]);
  const here = 'sni.extsvc.m.zone-1.partner.9000';
  for (const zone of ['', ', kuma.io/zone: zone-1'])
    t.equal(routeOf(with_(labelled(zone)), here).cluster, 'kri_extsvc_m_zone-1__partner_9000');
  t.notOk([...snapshotOf(with_(labelled(', kuma.io/zone: zone-2'))).routes.keys()].some((name) => name.includes('partner')));
});

t.test('rules of MeshTrafficPermissions decide: deny first, what none allows is denied', async (t) => {
  const permission = (...more: readonly string[]) => terminated(compileScoped([...USUAL, ...more]), SNI).permission;
  const frontend = 'spiffe://m.zone-1.mesh.local/workload/frontend';
  const exact = `{ spiffeID: { type: Exact, value: "${frontend}" } }`;
  const prefix = '{ spiffeID: { type: Prefix, value: "spiffe://m.zone-1.mesh.local/ns" } }';
  const about = (name: string): string => `{ sni: { type: Exact, value: ${name} } }`;
  t.match(permission(permissionYaml('m', 'p', `allow: [${exact}, ${prefix}]`)), {
    kind: 'rules',
    rules: [
      {
        action: 'allow',
        by: 'MeshTrafficPermission m/p',
        principal: {
          kind: 'or',
          any: [
            { kind: 'uri-list', match: 'exact', value: frontend },
            { kind: 'uri-list', match: 'prefix' },
          ],
        },
      },
    ],
  });
  t.match(permission(permissionYaml('m', 'p', `allow: [${about(SNI)}]`)), { kind: 'allow-all' });
  t.match(permission(permissionYaml('m', 'p', `allow: [${about('sni.extsvc.m.other.9000')}]`)), { kind: 'deny-all' });
  t.match(permission(permissionYaml('m', 'z', `deny: [${about(SNI)}]`), permissionYaml('m', 'a', `allow: [${about(SNI)}]`)), {
    kind: 'deny-all',
    by: 'MeshTrafficPermission m/z',
  });
  t.match(permission(permissionYaml('m', 'p', `allowWithShadowDeny: [${exact}], allow: [${about(SNI)}]`)), {
    kind: 'rules',
    rules: [{ action: 'shadow-deny' }, { action: 'allow' }],
  });
  const allow = `allow: [${about(SNI)}]`;
  for (const target of ['{ kind: Dataplane }', '{ kind: Dataplane, labels: { kuma.io/listener-zoneegress: enabled } }'])
    t.match(permission(permissionYaml('m', 'p', allow, target)), { kind: 'allow-all' }, target);
  for (const target of [
    '{ kind: Dataplane, name: other }',
    '{ kind: Dataplane, labels: { kuma.io/workload: other } }',
    '{ kind: Dataplane, sectionName: other }',
    '{ kind: Mesh, proxyTypes: [Gateway] }',
    '{ kind: MeshSubset, tags: { kuma.io/service: egress } }',
  ])
    t.match(permission(permissionYaml('m', 'p', allow, target)), { kind: 'deny-all' }, target);
  t.match(
    permission(
      permissionYaml('m', 'p', allow),
      permissionYaml('m', 'd', `deny: [${exact}]`, '{ kind: MeshSubset, tags: { a: b } }'),
    ),
    { kind: 'unsupported', by: 'MeshTrafficPermission m/d' },
    'a Deny that cannot be judged lets nobody in',
  );
});

t.test('a permission for one listener opens no other listener of its Dataplane', async (t) => {
  const two = dataplaneYaml('m').replace(
    'name: egress-port }]',
    'name: a }, { type: ZoneEgress, address: 10.0.0.8, port: 10003, name: b }]',
  );
  const permission = (...more: readonly string[]) =>
    terminated(compileScoped([MESH, two, ...USUAL.slice(2), ...more]), SNI).permission;
  const about = `[{ sni: { type: Exact, value: ${SNI} } }]`;
  const forOne = (name: string, section: string): string =>
    permissionYaml('m', name, `allow: ${about}`, `{ kind: Dataplane, sectionName: "${section}" }`);
  const none = { kind: 'deny-all', by: 'no MeshTrafficPermission for partner' };
  t.match(permission(forOne('p', 'a')), { kind: 'all-of', all: [{ kind: 'allow-all' }, none] });
  t.match(permission(forOne('p', '10003')), { kind: 'all-of', all: [none, { kind: 'allow-all' }] });
  const allow = { kind: 'allow-all' };
  t.match(permission(forOne('p', 'a'), forOne('q', 'b')), { kind: 'all-of', all: [allow, allow] }, 'each is open by its own');
  t.match(permission(permissionYaml('m', 'p', `allow: ${about}`, '{ kind: Dataplane }')), allow);
});

t.test('a Deny by a label that only a control plane knows refuses; an Allow by it opens nothing', async (t) => {
  const about = `[{ sni: { type: Exact, value: ${SNI} } }]`;
  const all = permissionYaml('m', 'a', `allow: ${about}`);
  const by = (list: string, labels: string): string =>
    permissionYaml('m', 'p', `${list}: ${about}`, `{ kind: Dataplane, labels: { ${labels} } }`);
  const compiled = (dataplane: string, ...more: readonly string[]) =>
    compileScoped([MESH, dataplane, ...USUAL.slice(2), ...more]);
  const permission = (dataplane: string, ...more: readonly string[]) => terminated(compiled(dataplane, ...more), SNI).permission;
  const plain = dataplaneYaml('m');
  for (const label of [
    'kuma.io/proxy-type: sidecar',
    'kuma.io/proxy-type: sidecar, kuma.io/mesh: m',
    'k8s.kuma.io/namespace: default',
    'k8s.kuma.io/service-account: default',
  ]) {
    t.match(permission(plain, all, by('deny', label)), { kind: 'unsupported', by: 'MeshTrafficPermission m/p' }, label);
    t.match(permission(plain, by('allow', label)), { kind: 'deny-all' }, label);
    const warned = linesOf(compiled(plain, by('allow', label)), 'warning').join('\n');
    t.match(warned, /spec\.targetRef\.labels: .*a control plane computes/, label);
  }
  // The other label says that it is another Dataplane, whatever the unknown one is.
  const elsewhere = 'kuma.io/proxy-type: sidecar, kuma.io/workload: other';
  t.match(permission(plain, all, by('deny', elsewhere)), { kind: 'allow-all' });
  const written = plain.replace('{ kuma.io/workload', '{ kuma.io/proxy-type: sidecar, kuma.io/workload');
  t.match(permission(written, all, by('deny', 'kuma.io/proxy-type: sidecar')), { kind: 'deny-all' });
  t.match(permission(written, all, by('deny', 'kuma.io/proxy-type: gateway')), { kind: 'allow-all' });
  t.match(permission(written, by('allow', 'kuma.io/proxy-type: sidecar')), { kind: 'allow-all' });
});

t.test('clients of each MeshTrust are trusted, and of the identity unless it says otherwise', async (t) => {
  const other = makeCa('other');
  const trust = (domain: string, pem: string): string =>
    `type: MeshTrust\nmesh: m\nname: ${domain}\nspec: { trustDomain: ${domain}, caBundles: [{ type: Pem, pem: { value: ${JSON.stringify(pem)} } }] }\n`;
  const domains = (...texts: readonly string[]): unknown =>
    snapshotOf(compileScoped(texts))
      .meshes.get('m' as never)
      ?.trustDomains?.map(({ name }) => name);
  t.same(domains(...USUAL, trust('west.local', other.cert)), ['m.zone-1.mesh.local', 'west.local']);
  const disabled = USUAL.map((text) => text.replace('bundled: {', 'bundled: { meshTrustCreation: Disabled,'));
  t.same(domains(...disabled, trust('west.local', other.cert)), ['west.local']);
  t.match(
    linesOf(compileScoped([...disabled, trust('west.local', other.cert)]), 'warning').join('\n'),
    /is in no MeshTrust: no client of it is let in/,
  );
  t.match(linesOf(compileScoped(disabled), 'error').join('\n'), /2\.yaml:1:1 no client is trusted: mesh m has no MeshTrust/);
});

const PROVIDED = identityYaml('m').replace(
  'autogenerate: { enabled: true }',
  'ca: { certificate: { type: Secret, secretRef: { kind: Secret, name: c } }, privateKey: { type: Secret, secretRef: { kind: Secret, name: k } } }',
);

t.test('a provided CA comes from Secrets, files or the resource itself', async (t) => {
  const secrets = [secretYaml('m', 'c', ca.cert), secretYaml('m', 'k', ca.key)];
  const rest = [MESH, dataplaneYaml('m'), serviceYaml('m', 'partner', 9_000)];
  const inline = PROVIDED.replace(
    'type: Secret, secretRef: { kind: Secret, name: c }',
    `type: InsecureInline, insecureInline: { value: ${JSON.stringify(ca.cert)} }`,
  );
  const file = PROVIDED.replace('type: Secret, secretRef: { kind: Secret, name: k }', 'type: File, file: { path: ca.key }');
  const readFile = (path: string) => (path === 'ca.key' ? { text: ca.key } : { error: 'no such file' });
  for (const [what, identity] of Object.entries({ PROVIDED, inline, file })) {
    const compiled = compileScoped([...rest, identity, ...secrets], { zone: 'zone-1', readFile });
    t.same(linesOf(compiled, 'error'), [], what);
    t.match([...snapshotOf(compiled).meshes.values()], [{ identity: { kind: 'issue' } }], what);
  }
});

t.test('the schema of MeshExternalService of 2.x and of 3.0 say the same', async (t) => {
  const secure = (caCert: string): string =>
    serviceYaml('m', 'partner', 9_000).replace(' }] }', ` }], tls: { enabled: true, verification: { caCert: ${caCert} } } }`);
  const trustOf = (caCert: string): unknown => {
    const compiled = compileScoped([...USUAL.slice(0, 3), secure(caCert), authorityYaml('m', ca), secretYaml('m', 'c', ca.cert)]);
    t.same(linesOf(compiled, 'error'), [], caCert);
    return snapshotOf(compiled).clusters.get('kri_extsvc_m___partner_9000')?.endpoints[0]?.tls?.trust;
  };
  const pem = JSON.stringify(ca.cert);
  const older = trustOf(`{ inlineString: ${pem} }`);
  t.match(older, { kind: 'bundle' });
  t.same(trustOf(`{ type: InsecureInline, insecureInline: { value: ${pem} } }`), older);
  t.same(trustOf('{ type: Secret, secretRef: { kind: Secret, name: c } }'), older);
});

/** The problems of the usual resources with one text in place of another. */
function errorsWith(from: string | RegExp, to: string): readonly string[] {
  return linesOf(compileScoped(USUAL.map((text) => text.replace(from, to))), 'error');
}

t.test('each mistake has its place, its field and what is allowed', async (t) => {
  const listener = /listeners: .*/;
  for (const [from, to, expected] of [
    ['port: 10002', 'port: 0', '1.yaml:7:60 networking.listeners[0].port: port must be in the range [1, 65535]'],
    [
      'type: ZoneEgress, address: 10.0.0.8',
      'type: ZoneEgress',
      "1.yaml:7:15 networking.listeners[0].address: address can't be empty",
    ],
    [
      'type: ZoneEgress, address: 10.0.0.8',
      'type: ZoneEgress, address: 0.0.0.0',
      '1.yaml:7:44 networking.listeners[0].address: must not be 0.0.0.0 or ::',
    ],
    [
      listener,
      'listeners: [{ type: ZoneEgress, address: 10.0.0.8, port: 1 }, { type: ZoneEgress, address: 10.0.0.8, port: 1 }]',
      '1.yaml:7:65 networking.listeners[1]: address:port 10.0.0.8:1 is already used by another listener',
    ],
    [
      listener,
      'listeners: [{ type: ZoneEgress, address: 10.0.0.8, port: 1, name: a }, { type: ZoneEgress, address: 10.0.0.8, port: 2, name: a }]',
      '1.yaml:7:128 networking.listeners[1].name: name "a" must be unique across inbounds and listeners',
    ],
    [
      listener,
      'listeners: [{ type: ZoneEgress, address: 10.0.0.8, port: 1 }, { type: Gateway, address: 10.0.0.8, port: 2 }]',
      '1.yaml:7:73 networking.listeners[1].type: type must be ZoneIngress or ZoneEgress',
    ],
    [
      '{ kuma.io/workload: egress }',
      '{}',
      `1.yaml:1:1 labels: missing required label 'kuma.io/workload' - dataplane is selected by MeshIdentity "identity"`,
    ],
    [
      'matchLabels: {}',
      'matchLabels: { a: b }',
      '1.yaml:1:1 labels: no MeshIdentity selects this Dataplane (the mesh has 1): its listener has no certificate',
    ],
    [
      'insecureAllowSelfSigned: true, ',
      '',
      '4.yaml:4:7 data: self-signed certificates are not allowed: set spec.provider.bundled.insecureAllowSelfSigned, or give a CA that another one signed',
    ],
    ['type: Bundled', 'type: Bundle', '2.yaml:6:21 spec.provider.type: "Bundle" must be one of ["Bundled", "Spire"]'],
    [
      /provider: .*/,
      'provider: { type: Spire, spire: {} }',
      '2.yaml:1:1 spec.provider.type: is Spire: this egress issues its certificate from a CA of type Bundled only',
    ],
    [
      'spec:\n  selector',
      'spec:\n  spiffeID: { path: "/{{ .Workload | x }}" }\n  selector',
      `2.yaml:5:21 spec.spiffeID.path: couldn't parse template: only {{ .Field }} and {{ label "key" }} are read here`,
    ],
    [
      'name: identity-root-ca',
      'name: another',
      /2\.yaml:1:1 spec\.provider\.bundled\.autogenerate: no certificate for the egress: mesh "m" has no Secret "identity-root-ca"/,
    ],
  ] as const) {
    const errors = errorsWith(from, to);
    if (typeof expected === 'string') t.same(errors, [expected], to);
    else t.match(errors, [expected], to);
  }
  t.match(linesOf(compileScoped(USUAL, {}), 'error'), [
    /labels\["kuma\.io\/zone"\]: is not set: say the zone here or with --zone/,
  ]);
});

t.test('mistakes of a MeshTrust, of data sources and of matches have their places too', async (t) => {
  const also = (text: string): readonly string[] => linesOf(compileScoped([...USUAL, text]), 'error');
  t.same(also('type: MeshTrust\nmesh: m\nname: t\nspec: { trustDomain: A, caBundles: [{ type: Jks }] }\n'), [
    '5.yaml:4:22 spec.trustDomain: must be the trust domain of a SPIFFE id: lower case letters, digits, dots, hyphens and underscores',
    '5.yaml:4:45 spec.caBundles[0].type: "Jks" must be one of ["Pem"]',
  ]);
  t.match(
    also('type: MeshTrust\nmesh: m\nname: t\nspec: { trustDomain: a, caBundles: [{ type: Pem, pem: { value: none } }] }\n'),
    [/^5\.yaml:4:64 spec\.caBundles\[0\]\.pem\.value: holds no certificate in PEM form/],
  );
  t.same(also('type: MeshTrust\nmesh: m\nname: t\nspec: {}\n'), [
    '5.yaml:4:7 spec.trustDomain: trustDomain needs to be defined',
    '5.yaml:4:7 spec.caBundles: must not be empty',
  ]);
  const caCert = (source: string): readonly string[] =>
    also(serviceYaml('m', 's', 1).replace(' }] }', ` }], tls: { enabled: true, verification: { caCert: ${source} } } }`)).map(
      (line) => line.slice(line.indexOf(' ') + 1),
    );
  const at = 'spec.tls.verification.caCert';
  t.same(caCert('{ type: Vault }'), [`${at}.type: "Vault" must be one of ["EnvVar", "InsecureInline", "File", "Secret"]`]);
  t.same(caCert('{ type: InsecureInline }'), [`${at}.insecureInline: must be defined`]);
  t.same(caCert('{ type: InsecureInline, insecureInline: {} }'), [`${at}.insecureInline.value: must be defined`]);
  t.same(caCert('{ type: Secret, secretRef: { kind: ConfigMap, name: x } }'), [
    `${at}.secretRef.kind: "ConfigMap" must be one of ["Secret"]`,
  ]);
  t.same(caCert('{ type: EnvVar, envVar: { name: X } }'), [
    `${at}.type: is EnvVar, a variable of the control plane: use Secret, File or InsecureInline`,
  ]);
  t.same(also(permissionYaml('m', 'p', 'allow: [{ sni: { type: Regex, value: x } }]')), [
    '5.yaml:4:80 spec.rules[0].default.allow[0].sni.type: "Regex" must be one of ["Exact", "Prefix"]',
  ]);
});

t.test('a mesh whose identity cannot be used is refused, and the others are served', async (t) => {
  const other = [
    'type: Mesh\nname: n\n',
    dataplaneYaml('n'),
    identityYaml('n'),
    serviceYaml('n', 'partner', 9_000),
    authorityYaml('n', ca),
  ];
  const compiled = compileScoped([...USUAL.slice(0, 4), ...other]);
  const { meshes } = snapshotOf(compiled);
  t.match(meshes.get('m' as never)?.identity, { kind: 'none', why: /has no Secret/ });
  t.match(meshes.get('n' as never)?.identity, { kind: 'issue' });
  t.match(
    compiled.problems.filter(({ severity }) => severity === 'error'),
    [{ refuses: 'Mesh m of Dataplane egress' }],
  );
  t.match(compiled, { listener: { address: '10.0.0.8', port: 10_002, more: undefined } }, 'both share one place');
});

t.test('other proxies, other zones and other destinations are reported, and not served', async (t) => {
  const sidecar = 'type: Dataplane\nmesh: m\nname: web\nnetworking: { address: 10.0.0.3, inbound: [{ port: 1 }] }\n';
  const elsewhere = dataplaneYaml('m')
    .replace('name: egress', 'name: west')
    .replace('labels: {', 'labels: { kuma.io/zone: zone-2,');
  const external =
    'type: ExternalService\nmesh: m\nname: e\ntags: { kuma.io/service: e }\nnetworking: { address: "10.0.0.1:1" }\n';
  const warnings = linesOf(compileScoped([...USUAL, sidecar, elsewhere, external]), 'warning').join('\n');
  t.match(warnings, /5\.yaml:1:7 warning: type: Dataplane: has no effect on a zone egress/);
  t.match(warnings, /6\.yaml:1:1 warning: labels\["kuma\.io\/zone"\]: is "zone-2", and this zone is "zone-1": not served/);
  t.match(warnings, /0\.yaml:1:1 warning: its 1 ExternalServices are not served by the Dataplane egress/);
});

t.test('a ZoneEgress and a Dataplane serve one mesh side by side, each with its identity', async (t) => {
  const mesh =
    'type: Mesh\nname: m\nmtls: { enabledBackend: ca, backends: [{ name: ca, type: builtin }] }\nrouting: { zoneEgress: true }\n';
  const legacy = makeCa('legacy');
  const compiled = compileScoped([
    mesh,
    ...USUAL.slice(1),
    'type: ZoneEgress\nname: old\nzone: zone-1\nnetworking: { address: 10.0.0.7, port: 10002 }\n',
    secretYaml('m', 'm.ca-builtin-cert-ca', legacy.cert),
    secretYaml('m', 'm.ca-builtin-key-ca', legacy.key),
  ]);
  t.same(linesOf(compiled, 'error'), []);
  const { meshes, routes } = snapshotOf(compiled);
  t.same([...meshes.keys()], ['m', 'm (MeshIdentity)']);
  t.same(
    [...routes.values()].map((route) => [route.cluster, route.kind === 'terminate' ? (route.identity ?? '') : '']),
    [
      ['m_partner___extsvc_9000', ''],
      ['kri_extsvc_m___partner_9000', 'm (MeshIdentity)'],
    ],
  );
  t.match(compiled, {
    listener: { name: 'old', address: '10.0.0.7', more: [{ name: 'm.egress', address: '10.0.0.8', port: 10_002 }] },
  });
});
