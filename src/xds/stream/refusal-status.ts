import { create } from '@bufbuild/protobuf';
import type { Status } from '#envoy/google/rpc/status_pb.js';
import { StatusSchema } from '#envoy/google/rpc/status_pb.js';

/** INTERNAL, as Envoy: control planes show the message and do not look at the code. */
const REFUSED_CODE = 13;

/** What a NACK says, in both forms of ADS. */
export function refusalStatus(message: string): Status {
  return create(StatusSchema, { code: REFUSED_CODE, message });
}
