import { create } from '@bufbuild/protobuf';
import type { Status } from '#envoy/google/rpc/status_pb.js';
import { StatusSchema } from '#envoy/google/rpc/status_pb.js';

/** INTERNAL, as in Envoy: control planes show the message and ignore the code. */
const REFUSED_CODE = 13;

/** Makes the status of a NACK, for both forms of ADS. */
export function refusalStatus(message: string): Status {
  return create(StatusSchema, { code: REFUSED_CODE, message });
}
