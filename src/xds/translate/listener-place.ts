import { SocketAddress_Protocol } from '#envoy/config/core/v3/address_pb.js';
import type { Listener } from '#envoy/config/listener/v3/listener_pb.js';

/**
 * Returns why a listener is not on a TCP port; null where it is. Such a listener is not opened at
 * another place.
 */
export function placeComplaint({ address, bindToPort, apiListener, listenerSpecifier }: Listener): string | null {
  const place = address?.address;
  if (apiListener !== undefined || listenerSpecifier.case !== undefined) return 'it is of another kind';
  if (place?.case !== 'socketAddress') return `its address is a ${place?.case ?? 'place without an address'}`;
  if (place.value.protocol !== SocketAddress_Protocol.TCP) return 'its protocol is not TCP';
  if (place.value.portSpecifier.case !== 'portValue') return 'it has no port';
  return bindToPort === false ? 'it is not to be bound' : null;
}

/** Empty and 0 where there is none. */
export function listenerSocket(address: Listener['address']): { readonly address: string; readonly port: number } {
  const socket = address?.address.case === 'socketAddress' ? address.address.value : undefined;
  return { address: socket?.address ?? '', port: socket?.portSpecifier.case === 'portValue' ? socket.portSpecifier.value : 0 };
}
