import type { ClientRequest } from 'node:http';

/**
 * Calls `failed` where a request ends without an answer. Node emits no error for a request that was
 * answered with 101 Switching Protocols: it only closes the connection, and who waits for an answer
 * or an error would wait without an end. It may call `failed` behind an error.
 */
export function whenUnanswered(request: ClientRequest, failed: (error: Error) => void): void {
  let isAnswered = false;
  request.on('response', () => (isAnswered = true));
  request.on('upgrade', (_response, socket) => {
    socket.destroy();
    failed(new Error('the answer has status 101, which changes the protocol'));
  });
  request.on('close', () => {
    if (!isAnswered) failed(new Error('the connection ended without an answer'));
  });
}
