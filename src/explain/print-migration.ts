import { oneLine } from '../base/plain-text.ts';
import type { AccessReport, MeshPlan, MigrationPlan } from './migration.ts';
import type { MadeResource } from './migration-resources.ts';

/** The steps in their order: YAML to apply, with the report and what to do by hand as comments. */
export function migrationText(
  plan: MigrationPlan,
  access: readonly AccessReport[],
  { zone, toYaml }: { readonly zone: string; readonly toYaml: (value: unknown) => string },
): string {
  const { meshes } = plan;
  const all = (of: (mesh: MeshPlan) => readonly (MadeResource | null)[]): readonly MadeResource[] =>
    meshes.flatMap((mesh) => of(mesh).filter((each) => each !== null));
  const steps: readonly (readonly [heading: readonly string[], resources: readonly MadeResource[]])[] = [
    [
      [
        'Step 1: identities. Sidecars go on with the ZoneEgress and their old certificates.',
        'Up to Kuma 2.14 set meshServices.mode: Exclusive in each Mesh first.',
        'Clients of another zone: apply a MeshTrust of its trust domain on the global control plane.',
      ],
      all(({ identity }) => [identity]),
    ],
    [['Step 2: what takes the place of ExternalServices.'], all(({ services }) => services)],
    [
      ['Step 3: who may pass. Without these nobody does: the default of an egress of one mesh is deny.'],
      all((mesh) => [mesh.permission]),
    ],
    [dataplaneStep(meshes), all(({ dataplane }) => [dataplane])],
  ];
  return [
    ...comment(report(plan, access, zone)),
    ...steps.flatMap(([heading, resources]) => [
      '',
      ...comment(heading),
      ...(resources.length === 0 ? ['# Nothing to apply.'] : resources.flatMap((each) => ['---', toYaml(each).trimEnd()])),
    ]),
    '',
    ...comment(lastSteps(meshes)),
    '',
  ].join('\n');
}

function dataplaneStep(meshes: readonly MeshPlan[]): readonly string[] {
  return [
    'Step 4: the Dataplanes, not ready yet. Then give this egress the new files, or start it with',
    '--proxy-type=dataplane for each mesh, with a token of one of these forms:',
    ...meshes.flatMap(({ mesh, workloads }) =>
      workloads.flatMap((workload) => {
        const options = `--mesh ${mesh}${workload === '' ? '' : ` --workload ${workload}`} --valid-for 720h`;
        return [
          `  kumactl generate dataplane-token ${options}`,
          `  zone-egress generate dataplane-token ${options} --signing-key-path KEY --kid ID`,
        ];
      }),
    ),
    'On Kubernetes these values of Kuma’s chart take the place of the Dataplanes. Its Pods are ready',
    'at once, and step 5 comes with them: apply the steps before in time.',
    '  meshes:',
    ...meshes.map(({ mesh }) => `    - { name: ${mesh}, egress: { enabled: true } }`),
    'Leave the values egress.* as they are until step 6: without them its Deployment is deleted.',
  ];
}

/** The resources to delete, by their names. */
function lastSteps(meshes: readonly MeshPlan[]): readonly string[] {
  return [
    'Step 5, mesh by mesh: when the egress serves it, take `state: NotReady` out of its Dataplane and apply it.',
    'All sidecars of the mesh in this zone switch at once to the new names, ids and permissions.',
    'Step 6: when no session asks for an old name any more (in `/decisions` and in the log of the ZoneEgress), delete',
    '  the ZoneEgress, the zone token of scope egress, and the values egress.* of the chart;',
    ...meshes.flatMap(({ mesh, destinations }) => [
      `  routing.zoneEgress and routing.defaultForbidMeshExternalServiceAccess of Mesh ${mesh};`,
      ...destinations
        .filter(({ from, lost }) => from === 'ExternalService' && lost === '')
        .map(({ name }) => `  the ExternalServices of ${name} in mesh ${mesh}, with the TrafficPermissions to it;`),
    ]),
    'then upgrade the control plane to 3.0. Not before: it deletes the old Deployment, with all sessions through it.',
  ];
}

function report({ meshes }: MigrationPlan, access: readonly AccessReport[], zone: string): readonly string[] {
  const lines = [`Migration of zone ${zone} from its ZoneEgress to an egress of each mesh.`];
  for (const { mesh, trustDomain, destinations, tasks, isComplete } of meshes) {
    lines.push('', `Mesh ${mesh}: ids begin with spiffe://${trustDomain}/workload/`);
    for (const { name, from, before, after, lost } of destinations) {
      lines.push(lost === '' ? `  ${from} ${name}: ${before} -> ${after}` : `  ${from} ${name}: no successor: ${lost}`);
      for (const { change } of access.filter((each) => each.mesh === mesh && each.name === name)) {
        if (change.newly.length > 0) lines.push(`    gains access: ${change.newly.join(', ')}`);
        if (change.noLonger.length > 0) lines.push(`    loses access: ${change.noLonger.join(', ')}`);
      }
    }
    for (const task of tasks) lines.push(`  By hand: ${task}.`);
    if (!isComplete)
      lines.push(
        '  Not known here: whether the mesh has a MeshIdentity or a Dataplane already. Leave out what it has. Rules of its',
        '  MeshTrafficPermissions are not known either: who passes because of them is not in this report.',
      );
    if (destinations.some(({ from }) => from === 'ExternalService'))
      lines.push(
        '  Dataplanes need the label kuma.io/workload with the name of their service, and clients call',
        '  what was an ExternalService by the hostname of its MeshExternalService.',
      );
  }
  return lines;
}

function comment(lines: readonly string[]): readonly string[] {
  return lines.map((line) => (line === '' ? '#' : `# ${oneLine(line)}`));
}
