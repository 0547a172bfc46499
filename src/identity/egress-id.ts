/** Returns the SPIFFE id that clients of a mesh demand of their zone egress, byte for byte. */
export function egressId(mesh: string): string {
  return `spiffe://${mesh}/zone-egress`;
}
