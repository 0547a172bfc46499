import type { AccessLogTarget } from '../../model/access-log.ts';
import type { DataplaneDefinition } from '../kinds/dataplane.ts';
import { formatOf } from '../kinds/mesh-access-log.ts';
import type { AccessLogConf, KumaValues } from '../kinds/mesh-access-log.ts';
import type { Feature } from './not-yet.ts';
import type { MatchedPart } from './scoped-rules.ts';

/** The values of Kuma's placeholders at a Dataplane. */
export function kumaValuesOf({ meta, address }: DataplaneDefinition, zone: string): KumaValues {
  const workload = meta.labels.get('kuma.io/workload') ?? '';
  const namespace = meta.labels.get('k8s.kuma.io/namespace') ?? meta.namespace;
  return {
    sourceAddress: address,
    mesh: meta.mesh,
    zone,
    workload: workload === '' ? '' : `kri_wl_${meta.mesh}_${zone}_${namespace}_${workload}_`,
  };
}

/**
 * Makes the access logs of a service. Each rule counts on its own, so one session may have several
 * lines.
 */
export function accessLogsOf(
  parts: readonly MatchedPart<AccessLogConf>[],
  values: KumaValues,
  speaksHttp: boolean,
): readonly AccessLogTarget[] {
  return parts.flatMap(({ conf, client }) =>
    (conf.files ?? []).flatMap(({ path, format }): readonly AccessLogTarget[] => {
      const made = formatOf(format, values);
      // It was reported when the resource was read.
      if (made.kind === 'invalid') return [];
      return [
        {
          path,
          format: made.parsed,
          ...(client === null ? {} : { clients: client }),
          ...(speaksHttp ? {} : { onConnect: true }),
        },
      ];
    }),
  );
}

export function logFeatures({ files = [], others = [] }: AccessLogConf): readonly Feature[] {
  return [
    ...(files.length > 0 ? (['access logs'] as const) : []),
    ...(others.includes('OpenTelemetry') ? (['access logs of type OpenTelemetry'] as const) : []),
  ];
}
