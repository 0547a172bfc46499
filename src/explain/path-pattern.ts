/**
 * Makes patterns of paths without the names of single things, so that requests of a kind are
 * counted together.
 */

const MAX_SEGMENTS = 8;
const MAX_WORD = 32;
/** The most patterns for one client, service and method; further paths share one. */
const MAX_PATTERNS = 200;

/** Turns `/orders/1234/lines` into `/orders/{id}/lines`. */
export function pathPattern(path: string): string {
  const segments = path.split('/').slice(1);
  const shown = segments.slice(0, MAX_SEGMENTS).map((segment) => (isWord(segment) ? segment : '{id}'));
  return `/${[...shown, ...(segments.length > MAX_SEGMENTS ? ['...'] : [])].join('/')}`;
}

/**
 * A version is a word, e.g. `v2`; a segment with other digits, a long or an escaped one is an id.
 */
function isWord(segment: string): boolean {
  return segment.length <= MAX_WORD && (/^[A-Za-z._~-]*$/.test(segment) || /^v\d{1,3}$/.test(segment));
}

/** Patterns by client, service and method, with at most some hundred of each. */
export class PathPatterns {
  readonly #known = new Map<string, Set<string>>();

  of(path: string, owner: string): string {
    const pattern = pathPattern(path);
    const known = this.#known.get(owner) ?? new Set();
    this.#known.set(owner, known);
    if (!known.has(pattern) && known.size >= MAX_PATTERNS) return '/...';
    known.add(pattern);
    return pattern;
  }
}
