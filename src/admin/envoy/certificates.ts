import { X509Certificate } from 'node:crypto';
import { certificateBlocks } from '../../base/certificate-blocks.ts';
import type { LazyJson } from '../../base/lazy-json.ts';
import { readCertificate } from '../../identity/der.ts';
import type { GeneralName } from '../../identity/der.ts';
import type { MeshCredentials } from '../../model/credentials.ts';

const MAX_CERTIFICATES = 100;
const DAY_MS = 24 * 3_600_000;

/** Writes `envoy.admin.v3.Certificates`: for each mesh its CA and the certificate of the egress. */
export function certificatesJson(all: readonly MeshCredentials[], nowMs: number): LazyJson {
  const certificates = all.map(({ trust, cert }) => ({
    ca_cert: readableCertificates(trust).map((each) => details(each, nowMs)),
    cert_chain: readableCertificates(cert)
      .slice(0, 1)
      .map((each) => details(each, nowMs)),
  }));
  return { certificates };
}

/** Returns the certificates of a PEM text that can be read. */
export function readableCertificates(pem: string): readonly X509Certificate[] {
  return certificateBlocks(pem)
    .blocks.slice(0, MAX_CERTIFICATES)
    .flatMap((block) => {
      try {
        return [new X509Certificate(block)];
      } catch {
        return [];
      }
    });
}

function details(certificate: X509Certificate, nowMs: number): Record<string, LazyJson> {
  const read = readCertificate(certificate.raw);
  const until = Date.parse(certificate.validTo);
  return {
    path: '<inline>',
    serial_number: certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, ''),
    subject_alt_names: read.kind === 'certificate' ? read.certificate.altNames.flatMap(nameJson) : [],
    days_until_expiration: String(Math.max(0, Math.floor((until - nowMs) / DAY_MS))),
    valid_from: timestamp(Date.parse(certificate.validFrom)),
    expiration_time: timestamp(until),
  };
}

function nameJson({ kind, bytes }: GeneralName): readonly Record<string, string>[] {
  if (kind === 'dns') return [{ dns: bytes.toString('latin1') }];
  if (kind === 'uri') return [{ uri: bytes.toString('latin1') }];
  if (kind === 'ip' && bytes.length === 4) return [{ ip_address: [...bytes].join('.') }];
  if (kind === 'ip' && bytes.length === 16) return [{ ip_address: (bytes.toString('hex').match(/.{4}/g) ?? []).join(':') }];
  return [];
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
