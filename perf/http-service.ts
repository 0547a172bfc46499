// The service of HTTP of a run: a process of its own that answers every request with so many bytes.
import { speaksHttp, startGenerator } from './generator.ts';

export interface HttpService {
  /** Ports: one for HTTP/1.1 and one for HTTP/2, both plain. */
  readonly http1: number;
  readonly http2: number;
  readonly pid: number;
  /** What the next requests are answered with; gives back what came since the call before. */
  answer(bytes: number, grpc: boolean): Promise<Came>;
  stop(): Promise<void>;
}

export interface Came {
  readonly requests: number;
  /** Bytes of bodies. */
  readonly up: number;
  readonly errors: number;
}

/** Null, and said, where the native generator cannot be built. */
export async function startHttpService(): Promise<HttpService | null> {
  if (!speaksHttp()) {
    console.error('perf: requests of HTTP are not measured: only the native generator speaks it');
    return null;
  }
  const service = await startGenerator('http-serve', {});
  return {
    http1: Number(service.ready.http1),
    http2: Number(service.ready.http2),
    pid: service.pid,
    async answer(bytes, grpc) {
      const { requests, up, errors } = await service.ask(`${bytes} ${grpc ? 1 : 0}`);
      return { requests: Number(requests), up: Number(up), errors: Number(errors) };
    },
    stop: () => service.stop(),
  };
}
