import { Buffer } from 'node:buffer';
import { isIP } from 'node:net';

/**
 * Returns the 4 or 16 bytes of an address; null where Node does not take the text for an address.
 * Node refuses the older spellings (`127.1`, `0x7f000001`, `0177.0.0.1`). An IPv4-mapped IPv6
 * address stays 16 bytes; a zone (`%eth0`) is dropped.
 */
export function ipBytes(text: string): Buffer | null {
  switch (isIP(text)) {
    case 4:
      return Buffer.from(text.split('.').map(Number));
    case 6:
      return v6Bytes(text);
    default:
      return null;
  }
}

/** `text` has passed isIP: it has at most one `::`, and an IPv4 part only at the end. */
function v6Bytes(text: string): Buffer {
  const zoneless = text.split('%')[0] ?? '';
  const [head = '', tail] = zoneless.split('::');
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const bytes = Buffer.alloc(16);
  bytes.set(before);
  bytes.set(after, 16 - after.length);
  return bytes;
}

function groups(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
