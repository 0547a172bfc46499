import { EventEmitter, once } from 'node:events';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { AdsType } from '../../src/xds/messages/ads-state.ts';
import { TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import { DiscoveryRequestSchema, DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { Said } from './recorded.ts';
import { saidIn } from './recorded.ts';

/** A gRPC server that sends what a test asks for, and keeps what it receives. */
export interface ControlPlane {
  readonly port: number;
  /** Resolves with the next stream that a client opens, in order. */
  readonly stream: () => Promise<Stream>;
  /** Ends all connections at once. */
  stop(): void;
}

export interface Stream {
  readonly authorization: readonly string[];
  /** Resolves with the next request, in order. */
  readonly next: () => Promise<Said>;
  /** Number of requests that were not taken with `next`. */
  readonly waiting: number;
  send(type: AdsType, version: string, nonce: string, resources: readonly Any[]): void;
  sendBytes(bytes: Uint8Array): void;
  /** Ends with this code and text; 0 ends in order. */
  end(code: number, message?: string): void;
  /** Resolves when the client is gone. */
  readonly gone: Promise<unknown>;
}

export interface ServerTls {
  readonly cert: string;
  readonly key: string;
}

export async function startControlPlane(tls?: ServerTls, port = 0): Promise<ControlPlane> {
  const server = new Server({ 'grpc.max_send_message_length': -1 });
  const streams = queue<Stream>();
  const same = (bytes: Buffer): Buffer => bytes;
  server.addService(
    {
      stream: {
        path: '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
        requestStream: true,
        responseStream: true,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    { stream: (call: ServerDuplexStream<Buffer, Buffer>) => streams.put(streamOf(call)) },
  );
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
  return { port: bound, stream: streams.take, stop: () => server.forceShutdown() };
}

function streamOf(call: ServerDuplexStream<Buffer, Buffer>): Stream {
  const requests = queue<Said>();
  call.on('data', (bytes: Buffer) => requests.put(saidIn(fromBinary(DiscoveryRequestSchema, bytes))));
  call.on('error', () => undefined);
  return {
    authorization: call.metadata.get('authorization').map(String),
    next: requests.take,
    get waiting() {
      return requests.size();
    },
    send: (type, versionInfo, nonce, resources) => {
      const response = create(DiscoveryResponseSchema, {
        typeUrl: TYPE_URLS[type],
        versionInfo,
        nonce,
        resources: [...resources],
      });
      call.write(Buffer.from(toBinary(DiscoveryResponseSchema, response)));
    },
    sendBytes: (bytes) => void call.write(Buffer.from(bytes)),
    end: (code, message = '') => {
      if (code === 0) call.end();
      else call.emit('error', { code, details: message });
    },
    gone: new Promise((resolve) => void call.once('cancelled', resolve)),
  };
}

interface Queue<Value> {
  readonly put: (value: Value) => void;
  readonly take: () => Promise<Value>;
  readonly size: () => number;
}

export function queue<Value>(): Queue<Value> {
  const values: Value[] = [];
  const events = new EventEmitter();
  return {
    put: (value) => {
      values.push(value);
      events.emit('value');
    },
    take: async () => {
      while (values.length === 0) await once(events, 'value');
      return values.shift()!;
    },
    size: () => values.length,
  };
}
