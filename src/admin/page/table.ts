import { html } from './markup.ts';
import type { Html } from './markup.ts';

export interface Table {
  /** Names it for those who hear the page. */
  readonly label: string;
  /**
   * `tall` scrolls within the page; `stack` puts the cells of a row below each other when narrow.
   */
  readonly kind?: 'tall' | 'stack';
  /** A heading is a text, or its own `th`. */
  readonly columns: readonly (string | Html)[];
  readonly rows: readonly Html[];
}

/** Writes a table that a keyboard can scroll. */
export function table({ label, kind, columns, rows }: Table): Html {
  const heads = columns.map((column) => (typeof column === 'string' ? html`<th scope="col">${column}</th>` : column));
  return html`<div class="table${kind === undefined ? '' : ` ${kind}`}" role="region" aria-label="${label}" tabindex="0">
    <table>
      <thead>
        <tr>
          ${heads}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
}
