/**
 * Tells whether the last label of a host name is a number. A resolver reads such a name as an
 * address in an odd spelling: 0x7f000001, 2130706433, 127.1, 0177.0.0.1.
 */
export function endsInNumber(host: string): boolean {
  const last = host.replace(/\.$/, '').split('.').at(-1) ?? '';
  return /^(?:\d+|0x[0-9a-f]*)$/i.test(last);
}
