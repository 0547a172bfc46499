import { shortDuration } from '../../base/short-text.ts';
import { html } from './markup.ts';
import type { Html } from './markup.ts';

/** Writes a time of the wall clock, in UTC. */
export function moment(ms: number): Html {
  // The date of a certificate may be unreadable.
  if (Number.isNaN(new Date(ms).getTime())) return html`unknown`;
  const iso = new Date(ms).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 19)}Z</time>`;
}

/** Writes how long ago it was, with the time in its title. */
export function ago(ms: number, now: number): Html {
  const iso = new Date(ms).toISOString();
  return html`<time datetime="${iso}" title="${iso}">${shortDuration(Math.max(0, now - ms))} ago</time>`;
}
