import type { View } from '../views.ts';
import { html, NOTHING } from './markup.ts';
import type { Html } from './markup.ts';

/**
 * The page loads its script, style, picture and updates from this listener only, is in no frame,
 * and sends its forms only here. Nothing in it is inline.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "frame-ancestors 'none'",
  "form-action 'self'",
  "base-uri 'none'",
].join('; ');

export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY,
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
};

export function htmlView(status: number, page: Html): View {
  return { status, contentType: 'text/html; charset=utf-8', body: page.text, headers: PAGE_HEADERS };
}

export function pageDocument(title: string, body: Html, isLive: boolean): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>${title} · zone egress</title>
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <link rel="icon" href="/page/icon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/page/console.css" />
        ${isLive ? html`<script src="/page/console.js" defer></script>` : NOTHING}
      </head>
      <body>
        <a class="skip" href="#main">To the content</a>
        ${body}
      </body>
    </html> `;
}
