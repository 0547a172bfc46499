import type { RequestRecord } from '../../src/model/request-record.ts';
import type { SessionRecord } from '../../src/model/session-record.ts';

/** Makes a session that ended well; tests change the fields that they are about. */
export function sessionRecord(changes: Partial<SessionRecord> = {}): SessionRecord {
  return Object.freeze({
    id: '0.1',
    reason: 'closed',
    detail: '',
    startedAt: Date.UTC(2026, 0, 1),
    snapshotVersion: '0123456789abcdef',
    clientAddress: '10.0.0.7',
    clientPort: 51544,
    sni: 'backend{mesh=default}',
    alpn: ['kuma'],
    tlsOffered: 'TLSv1.3',
    mode: 'passthrough',
    mesh: 'default',
    destination: 'backend',
    cluster: 'default:backend',
    tlsVersion: '',
    spiffeIds: [],
    uris: [],
    certificateIssuer: '',
    certificateExpiry: '',
    permission: '',
    shadowDenied: false,
    endpoint: '10.1.0.1:10001',
    endpointTls: false,
    attempts: 1,
    bytesUp: 100,
    bytesDown: 2000,
    helloMs: 1.5,
    handshakeMs: -1,
    connectMs: 2,
    totalMs: 5000,
    ...changes,
  });
}

/** Makes the record of a client without a route. */
export function unmatched(changes: Partial<SessionRecord> = {}): SessionRecord {
  return sessionRecord({
    reason: 'no-route',
    detail: 'no route has the SNI "x"',
    mode: '',
    mesh: '',
    destination: '',
    cluster: '',
    endpoint: '',
    attempts: 0,
    bytesUp: 0,
    bytesDown: 0,
    connectMs: -1,
    ...changes,
  });
}

/** Makes a request that its service answered; tests change the fields that they are about. */
export function requestRecord(changes: Partial<RequestRecord> = {}): RequestRecord {
  return Object.freeze({
    id: '0.1.1',
    session: '0.1',
    reason: 'closed',
    detail: '',
    startedAt: Date.UTC(2026, 0, 1),
    snapshotVersion: '0123456789abcdef',
    clientAddress: '10.0.0.7',
    sni: 'shop{mesh=default}',
    mesh: 'default',
    destination: 'shop',
    cluster: 'default:shop',
    spiffeIds: ['spiffe://default/frontend'],
    uris: ['spiffe://default/frontend'],
    protocol: 'HTTP/1.1',
    method: 'GET',
    path: '/x',
    authority: 'shop.mesh',
    host: 'shop.partner.test',
    requestId: '',
    status: 200,
    flags: '',
    details: 'via_upstream',
    endpoint: '127.0.0.1:18080',
    endpointTls: false,
    attempts: 1,
    connections: 1,
    connectMs: 2,
    forwarded: true,
    bytesUp: 0,
    bytesDown: 10,
    serviceTimeMs: 7,
    totalMs: 9,
    headers: {},
    rateLimit: '',
    ...changes,
  });
}
