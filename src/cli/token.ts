/**
 * Returns a token without the white space around it, as kuma-dp does. Throws its fault with a text
 * that contains no part of it.
 */
export function checkedToken(text: string): string {
  const token = text.trim();
  if (token === '') throw new Error('the token is empty');
  if (/[\0\n\r]/.test(token)) throw new Error("Token shouldn't contain line breaks within the token, only at the start or end");
  const problem = jwtProblem(token);
  if (problem !== null) throw new Error(`not valid JWT token. Can't parse it.: ${problem}`);
  return token;
}

/** Checks only for errors of copying; the control plane verifies the signature. */
function jwtProblem(token: string): string | null {
  if (/^bearer /i.test(token)) return "token is malformed: tokenstring should not contain 'bearer '";
  const parts = token.split('.');
  if (parts.length !== 3) return 'token is malformed: token contains an invalid number of segments';
  const [header = '', claims = ''] = parts;
  const decoded = objectIn(header);
  if (decoded === null) return 'token is malformed: could not JSON decode header';
  if (objectIn(claims) === null) return 'token is malformed: could not JSON decode claim';
  if (!('alg' in decoded)) return 'token is unverifiable: signing method (alg) is unspecified';
  if (typeof decoded.alg !== 'string' || decoded.alg === '') return 'token is unverifiable: signing method (alg) is unavailable';
  return null;
}

/** Returns the JSON object of a part of a token; null where it has none. */
export function objectIn(segment: string): object | null {
  if (!/^[A-Za-z0-9_-]+$/.test(segment)) return null;
  try {
    const value: unknown = JSON.parse(Buffer.from(segment, 'base64url').toString('utf8'));
    return typeof value === 'object' && value !== null ? value : null;
  } catch {
    return null;
  }
}
