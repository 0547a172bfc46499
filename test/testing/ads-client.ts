/** A plain gRPC client of ADS: it sends what a test asks for and keeps what comes, in order. */
import { on } from 'node:events';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { JsonObject } from '@bufbuild/protobuf';
import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import type { FakeControlPlane } from '../../src/testing/control-plane/fake-control-plane.ts';
import { TYPE_URLS } from '../../src/xds/messages/ads-state.ts';
import type { AdsType } from '../../src/xds/messages/ads-state.ts';
import { DiscoveryRequestSchema, DiscoveryResponseSchema } from '#envoy/service/discovery/v3/discovery_pb.js';
import type { DiscoveryRequest, DiscoveryResponse } from '#envoy/service/discovery/v3/discovery_pb.js';

export interface Node {
  readonly id: string;
  readonly metadata: JsonObject;
}

export class AdsClient implements Disposable {
  readonly #client: Client;
  readonly #call: ClientDuplexStream<DiscoveryRequest, Buffer>;
  readonly #messages: AsyncIterator<unknown, undefined, undefined>;
  readonly ended: Promise<StatusObject>;

  constructor(controlPlane: Pick<FakeControlPlane, 'port' | 'caCert'>, token: string | null) {
    this.#client = new Client(`localhost:${controlPlane.port}`, credentials.createSsl(Buffer.from(controlPlane.caCert)));
    const metadata = new Metadata();
    if (token !== null) metadata.set('authorization', token);
    this.#call = this.#client.makeBidiStreamRequest(
      '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources',
      (request: DiscoveryRequest) => Buffer.from(toBinary(DiscoveryRequestSchema, request)),
      (bytes: Buffer) => bytes,
      metadata,
    );
    this.ended = new Promise((resolve) => this.#call.on('status', resolve));
    this.#call.on('error', () => undefined);
    this.#messages = on(this.#call, 'data');
  }

  send(
    type: AdsType,
    options: {
      readonly node?: Node;
      readonly names?: readonly string[];
      readonly nonce?: string;
      readonly version?: string;
      readonly error?: string;
    } = {},
  ): void {
    const { node, names = [], nonce = '', version = '', error } = options;
    this.#call.write(
      create(DiscoveryRequestSchema, {
        typeUrl: TYPE_URLS[type],
        resourceNames: [...names],
        responseNonce: nonce,
        versionInfo: version,
        ...(node === undefined ? {} : { node: { id: node.id, cluster: 'egress', metadata: node.metadata } }),
        ...(error === undefined ? {} : { errorDetail: { code: 13, message: error } }),
      }),
    );
  }

  /** Asks for a type that no control plane of Kuma answers. */
  probe(nonce: string): void {
    const typeUrl = 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration';
    this.#call.write(create(DiscoveryRequestSchema, { typeUrl, responseNonce: nonce }));
  }

  /** Returns the next message as it came. */
  async bytes(): Promise<Buffer> {
    const { value } = (await this.#messages.next()) as { readonly value: readonly [Buffer] };
    return value[0];
  }

  async response(): Promise<DiscoveryResponse> {
    return fromBinary(DiscoveryResponseSchema, await this.bytes());
  }

  /** Returns the next response, which must have this type, and accepts it at once. */
  async take(type: AdsType, names: readonly string[] = []): Promise<DiscoveryResponse> {
    const response = await this.response();
    if (response.typeUrl !== TYPE_URLS[type]) throw new Error(`expected ${TYPE_URLS[type]}, came ${response.typeUrl}`);
    this.send(type, { nonce: response.nonce, version: response.versionInfo, names });
    return response;
  }

  close(): void {
    this.#call.cancel();
    this.#client.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

export function nodeOf(name: string, metadata: JsonObject = {}): Node {
  const resource = { type: 'ZoneEgress', name, networking: { address: '127.0.0.2', port: 10002, admin: { port: 9901 } } };
  return {
    id: `.${name}`,
    metadata: {
      'dataplane.admin.port': '9901',
      'dataplane.proxyType': 'egress',
      'dataplane.readinessReporter.port': '9902',
      'dataplane.resource': JSON.stringify(resource),
      ...metadata,
    },
  };
}
