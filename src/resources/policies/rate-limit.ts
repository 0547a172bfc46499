import type { ConnectionRateLimit } from '../../model/route.ts';
import type { RateLimitConf } from '../kinds/mesh-rate-limit.ts';
import type { Feature } from './not-yet.ts';

export function limitFeatures({ tcp, http }: RateLimitConf, speaksHttp: boolean): readonly Feature[] {
  return [
    ...(tcp?.rate === undefined || tcp.disabled === true ? [] : (['connection rate limits'] as const)),
    ...(speaksHttp && http?.rate !== undefined && http.disabled !== true ? (['HTTP rate limits'] as const) : []),
  ];
}

export function inertLimit(speaksHttp: boolean): (conf: RateLimitConf) => string {
  return ({ tcp }) => (tcp === undefined && !speaksHttp ? 'limits of requests are for what speaks HTTP' : '');
}

export function connectionLimit(limit: RateLimitConf | null): ConnectionRateLimit | null {
  const tcp = limit?.tcp;
  if (tcp?.rate === undefined || tcp.disabled === true) return null;
  return { connections: tcp.rate.num, intervalMs: tcp.rate.intervalMs };
}
