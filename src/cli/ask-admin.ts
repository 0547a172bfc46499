import { get } from 'node:http';
import type { Clock } from '../base/clock.ts';

export interface AdminAnswer {
  readonly status: number;
  readonly body: string;
}

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Gets an admin page. Rejects where nothing answers at the address, and with the error of the
 * answer.
 */
export function askAdmin(url: string, clock: Clock, timeoutMs: number = TIMEOUT_MS): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        body += text;
        if (body.length > MAX_BYTES) request.destroy(new Error(`the answer is larger than ${MAX_BYTES} bytes`));
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    const deadline = clock.after(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    request.on('close', () => deadline.cancel());
    request.on('error', reject);
  });
}
