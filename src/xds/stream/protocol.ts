import type { Any } from '@bufbuild/protobuf/wkt';
import type { AdsType } from '../messages/ads-state.ts';
import type { Node } from '#envoy/config/core/v3/base_pb.js';

/** What a control plane says, in either form of ADS. */
export interface Answer {
  readonly typeUrl: string;
  /** Of the type as a whole. */
  readonly version: string;
  readonly nonce: string;
  readonly resources: readonly SentResource[];
  /** Names that are gone by their own word. */
  readonly removed: readonly string[];
  /** Clusters and listeners that it does not have are gone. */
  readonly isWhole: boolean;
}

export interface SentResource {
  /** Beside the resource; empty in the form that has it only inside. */
  readonly name: string;
  /** Of this resource, or of the answer where it has none of its own. */
  readonly version: string;
  readonly any: Any;
}

/** What is said to a control plane, before it has a form. */
export interface Ask {
  readonly type: AdsType;
  /** In the first request of a stream; null in all others. */
  readonly node: Node | null;
  /** All that are asked for from now on; empty where the type is asked for as a whole. */
  readonly names: readonly string[];
  /** The same, as this stream has heard it last; null before the first request of this type. */
  readonly before: readonly string[] | null;
  /** Names that are asked for although the control plane has sent them. */
  readonly again: readonly string[];
  /** The last one that was accepted of the type. */
  readonly version: string;
  /** What is held, by name, each with the version in which the control plane sent it. */
  readonly versions: ReadonlyMap<string, string>;
  /** Of the last answer on this stream; empty before the first. */
  readonly nonce: string;
  /** Accepts or refuses that answer; otherwise only the names change. */
  readonly isAnswer: boolean;
  /** Why the answer is refused; null where it is not. */
  readonly refusal: string | null;
}

/**
 * One form of ADS. All that differs between the two stands here and in their files; the
 * conversation itself (`subscriptions.ts`) is the same.
 */
export interface Protocol {
  /** Path of the gRPC method. */
  readonly method: string;
  /** A first request for names without a name asks for all that there are. */
  readonly emptyAsksForAll: boolean;
  /** What was refused is sent again by itself; otherwise it has to be asked for. */
  readonly refusedComesAgain: boolean;
  write(ask: Ask): Uint8Array;
  /** Throws for bytes that are no message. */
  read(bytes: Uint8Array): Answer;
}
