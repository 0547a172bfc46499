/**
 * Decodes standard base64, the form of bytes in Kuma's JSON; allows the line breaks of a folded
 * YAML value. Returns null for any other text.
 */
export function decodeBase64(text: string): string | null {
  const dense = text.replace(/\s+/g, '');
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/.test(dense)
    ? Buffer.from(dense, 'base64').toString('utf8')
    : null;
}
