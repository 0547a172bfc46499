/**
 * Finds the certificates of a PEM text. `isCutOff`: one of them has no end, which OpenSSL would not
 * report: it would use the certificates before it. Never quotes the text.
 */
export function certificateBlocks(text: string): { readonly blocks: readonly string[]; readonly isCutOff: boolean } {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  const begun = text.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  return { blocks, isCutOff: begun !== blocks.length };
}
