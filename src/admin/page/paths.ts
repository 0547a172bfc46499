/** Tells which requests the page answers, without the code that writes it. */

/** The files of the page, with their types. */
export const ASSETS: ReadonlyMap<string, string> = new Map([
  ['/page/console.css', 'text/css; charset=utf-8'],
  ['/page/console.js', 'text/javascript; charset=utf-8'],
  ['/page/icon.svg', 'image/svg+xml'],
]);

/**
 * `/` has a page for a browser, which says in Accept that it takes HTML; curl and scripts, which
 * take anything, get the list of pages. `output` in the query decides over both.
 */
export function isPageRequest(path: string, search: string, accept: string): boolean {
  if (ASSETS.has(path)) return true;
  if (path === '/explain') return new URLSearchParams(search).get('output') === 'html';
  if (path !== '/') return false;
  const output = new URLSearchParams(search).get('output');
  return output === null ? takesHtml(accept) : output === 'html';
}

function takesHtml(accept: string): boolean {
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((text) => text.trim().toLowerCase());
    return type === 'text/html' && !parameters.some((each) => /^q=0(?:\.0*)?$/.test(each));
  });
}
