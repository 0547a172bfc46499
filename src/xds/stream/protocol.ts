import type { Any } from '@bufbuild/protobuf/wkt';
import type { AdsType } from '../messages/ads-state.ts';
import type { Node } from '#envoy/config/core/v3/base_pb.js';

/** An answer of a control plane, in either form of ADS. */
export interface AdsResponse {
  readonly typeUrl: string;
  /** Version of the type as a whole. */
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly SentResource[];
  /** Names that the answer removes explicitly. */
  readonly removed: readonly string[];
  /** True removes the clusters and listeners that the answer lacks. */
  readonly isWhole: boolean;
}

export interface SentResource {
  /** The name beside the resource; empty in the form that has it only inside. */
  readonly name: string;
  /** Version of this resource, or of the answer where the resource has none. */
  readonly version: string;
  readonly any: Any;
}

/** A request to a control plane, before it is encoded. */
export interface AdsRequest {
  readonly type: AdsType;
  /** Set in the first request of a stream; null in all others. */
  readonly node: Node | null;
  /** All names that are requested from now on; empty where the type is requested as a whole. */
  readonly names: readonly string[];
  /** The names in the last request of this type on this stream; null before the first. */
  readonly before: readonly string[] | null;
  /** Names to request again although the control plane has sent them. */
  readonly again: readonly string[];
  /** The last accepted version of the type. */
  readonly version: string;
  /** The held resources by name, each with the version that the control plane sent. */
  readonly versions: ReadonlyMap<string, string>;
  /** Nonce of the last answer on this stream; empty before the first. */
  readonly nonce: string;
  /** True accepts or refuses that answer; otherwise only the names change. */
  readonly isAnswer: boolean;
  /** Why the answer is refused; null for an accepted one. */
  readonly refusal: string | null;
}

/**
 * One form of ADS: all differences between the two are here and in their files. The conversation
 * itself (`subscriptions.ts`) is the same.
 */
export interface Protocol {
  /** Path of the gRPC method. */
  readonly method: string;
  /** True when a first request without names asks for all resources. */
  readonly emptyAsksForAll: boolean;
  /** True when a refused resource is sent again by itself; otherwise it has to be requested. */
  readonly refusedComesAgain: boolean;
  write(ask: AdsRequest): Uint8Array;
  /** Throws for bytes that are no message. */
  read(bytes: Uint8Array): AdsResponse;
}
