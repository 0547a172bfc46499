import { html } from './markup.ts';
import type { Html } from './markup.ts';

/** The texts of the form, as the browser sent them. */
export interface ExplainFields {
  readonly sni: string;
  readonly from: string;
  readonly method: string;
  readonly path: string;
}

/** Asks about a connection that was not made. */
export function explainForm({ sni, from, method, path }: ExplainFields): Html {
  return html`<form class="explain" action="/explain" method="get"><input type="hidden" name="output" value="html">
<label>Server name (SNI) <input name="sni" value="${sni}" placeholder="api{mesh=default}" autocomplete="off" autocapitalize="none" spellcheck="false"></label>
<label>Client <input name="from" value="${from}" placeholder="spiffe://default/frontend" autocomplete="off" autocapitalize="none" spellcheck="false"></label>
<details${html`${method === '' && path === '' ? '' : ' open'}`}><summary>A request over HTTP</summary>
<label>Method <input name="method" value="${method}" placeholder="GET" autocomplete="off"></label>
<label>Path <input name="path" value="${path}" placeholder="/" autocomplete="off" autocapitalize="none" spellcheck="false"></label></details>
<button>Explain</button></form>`;
}
