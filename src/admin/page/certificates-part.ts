import type { X509Certificate } from 'node:crypto';
import { readableCertificates } from '../envoy/certificates.ts';
import type { PageFacts } from './facts.ts';
import { html } from './markup.ts';
import type { Html } from './markup.ts';
import { moment } from './moment.ts';
import { table } from './table.ts';

const MOST = 200;
const DAY_MS = 24 * 3_600_000;
/** Certificates of authorities are looked at in time; those of the egress renew within a day. */
const SOON_DAYS = 14;

/** Lists the certificates of the egress in each mesh, and the authorities that it trusts there. */
export function certificatesPart(facts: PageFacts): Html {
  const now = facts.wall();
  const all = facts.credentials();
  if (all.length === 0) return html`<p>The egress has no certificate: it ends the TLS of no mesh.</p>`;
  const rows = all.slice(0, MOST).flatMap(({ mesh, cert, trust }) => [
    ...readableCertificates(cert)
      .slice(0, 1)
      .map((each) => row({ mesh, use: 'own', each, now })),
    ...readableCertificates(trust).map((each) => row({ mesh, use: 'authority', each, now })),
  ]);
  return html`${table({ label: 'List of certificates', columns: ['Mesh', 'Use', 'Names', 'Left', 'Until'], rows })}
    <p class="more"><a href="/certs">as JSON</a></p>`;
}

interface Certificate {
  readonly mesh: string;
  readonly use: 'own' | 'authority';
  readonly each: X509Certificate;
  readonly now: number;
}

function row({ mesh, use, each, now }: Certificate): Html {
  const until = Date.parse(each.validTo);
  const left = until - now;
  const days = Math.floor(left / DAY_MS);
  const kind = left <= 0 ? 'bad' : use === 'authority' && days < SOON_DAYS ? 'some' : '';
  const says = left <= 0 ? '■ expired' : days < 2 ? `${Math.floor(left / 3_600_000)} hours` : `${days} days`;
  const names = use === 'own' ? each.subjectAltName : each.subject.replaceAll('\n', ', ');
  return html`<tr data-key="${mesh} ${each.fingerprint256}">
    <td>${mesh}</td>
    <td>${use === 'own' ? 'this egress' : 'authority of clients'}</td>
    <td class="name">${names ?? ''}</td>
    <td class="${kind}">${says}</td>
    <td>${moment(until)}</td>
  </tr> `;
}
