// Sends one request to an admin listener: over TCP, or over a unix socket.
import { request } from 'node:http';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';

export type AdminAt = { readonly port: number } | { readonly socketPath: string };

export interface Posted {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export function send(at: AdminAt, method: string, path: string, headers: OutgoingHttpHeaders = {}): Promise<Posted> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', ...at, method, path, agent: false, headers: { host: 'localhost', ...headers } });
    sent.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

export function post(at: AdminAt, path: string, headers?: OutgoingHttpHeaders): Promise<Posted> {
  return send(at, 'POST', path, headers);
}
