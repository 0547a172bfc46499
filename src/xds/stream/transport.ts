import { isIPv6 } from 'node:net';
import { ChannelCredentials, Client, connectivityState, Metadata } from '@grpc/grpc-js';
import type { ChannelOptions } from '@grpc/grpc-js';
import { VerifiedChannel } from './verified-channel.ts';
import type { AdsResponse, AdsRequest, Protocol } from './protocol.ts';
import type { StreamEnd } from './stream-problem.ts';

export interface AdsTarget {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export type AdsTls =
  /** No token is sent without protection. */
  | { readonly kind: 'plaintext' }
  | {
      readonly kind: 'tls';
      /** PEM of the CAs for the control plane's certificate; null trusts Node's list. */
      readonly ca: string | null;
      /** False accepts any certificate. */
      readonly verify: boolean;
      /** The name for SNI and for the check of the certificate; null for the host of the target. */
      readonly serverName: string | null;
    };

/** HTTP/2 pings: their interval, and the time for an answer. */
export interface KeepAlive {
  readonly timeMs: number;
  readonly timeoutMs: number;
}

export interface StreamOptions {
  readonly protocol: Protocol;
  readonly target: AdsTarget;
  readonly tls: AdsTls;
  readonly keepAlive: KeepAlive;
  /** Sent unchanged in `authorization`; null sends none. */
  readonly token: string | null;
}

export interface StreamHandlers {
  /** Called when the connection is made: requests are sent from now on. */
  onReady(): void;
  onAnswer(answer: AdsResponse): void;
  /** Called once, and not after `close`. */
  onEnd(end: StreamEnd): void;
}

export interface AdsStream {
  send(ask: AdsRequest): void;
  /** Ends the stream and its connection at once. */
  close(): void;
}

/** 100,000 chains are some 70 MB; a control plane that sends more is broken. */
const MAX_RESPONSE_BYTES = 128 * 1024 * 1024;

/**
 * Opens one aggregated stream on a connection of its own, so that names are resolved and
 * certificates are read anew for each. It does not retry, and does not read the content.
 */
export function openStream({ protocol, target, tls, keepAlive, token }: StreamOptions, handlers: StreamHandlers): AdsStream {
  const client = new Client(addressOf(target), credentials(tls, target.host), channelOptions(keepAlive));
  const metadata = new Metadata();
  if (token !== null && tls.kind === 'tls') metadata.set('authorization', token);
  const encode = (ask: AdsRequest): Buffer => Buffer.from(protocol.write(ask));
  const call = client.makeBidiStreamRequest(protocol.method, encode, (bytes: Buffer) => protocol.read(bytes), metadata);
  let over = false;
  const end = (status: StreamEnd | null): void => {
    if (over) return;
    over = true;
    call.cancel();
    client.close();
    if (status !== null) handlers.onEnd(status);
  };
  call.on('error', onCallError);
  call.on('data', (answer: AdsResponse) => {
    if (!over) handlers.onAnswer(answer);
  });
  call.on('status', ({ code, details }: { readonly code: number; readonly details: string }) =>
    end({ code, message: details === '' ? 'the control plane ended the stream' : details }),
  );
  const channel = client.getChannel();
  const watch = (): void => {
    if (over) return;
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.READY) handlers.onReady();
    else if (state !== connectivityState.SHUTDOWN) channel.watchConnectivityState(state, Infinity, watch);
  };
  watch();
  return {
    send: (ask) => {
      if (!over) call.write(ask);
    },
    close: () => end(null),
  };
}

/** The status event reports the same, and also an end without an error. */
function onCallError(): void {}

function addressOf({ host, port }: AdsTarget): string {
  return `dns:${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

function credentials(tls: AdsTls, host: string): ChannelCredentials {
  if (tls.kind === 'plaintext') return ChannelCredentials.createInsecure();
  // Keyed by the dialled name, with any SNI.
  return new VerifiedChannel({ ca: tls.ca, verify: tls.verify, serverName: tls.serverName ?? host });
}

function channelOptions({ timeMs, timeoutMs }: KeepAlive): ChannelOptions {
  return {
    'grpc.keepalive_time_ms': timeMs,
    'grpc.keepalive_timeout_ms': timeoutMs,
    'grpc.max_receive_message_length': MAX_RESPONSE_BYTES,
    // A control plane is reached directly, as Envoy does; the opener of the stream decides about
    // retries.
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
  };
}
