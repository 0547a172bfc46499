import type { Server } from 'node:net';

export interface ListenOn {
  /** Empty listens on every address. */
  readonly address: string;
  readonly port: number;
  /** The purpose of this listener, for error texts. */
  readonly name: string;
}

const REASONS: ReadonlyMap<string, string> = new Map([
  ['EADDRINUSE', 'another socket has this port'],
  ['EADDRNOTAVAIL', 'the address is not one of this machine'],
  ['EACCES', 'this process may not use the port'],
]);

/** Rejects with the system's code where it cannot listen. */
export function listenOn(server: Server, { address, port, name }: ListenOn): Promise<void> {
  return new Promise((resolve, reject) => {
    function onError(error: NodeJS.ErrnoException): void {
      const where = `${address === '' ? '*' : address}:${port}`;
      const { code = '' } = error;
      const why = REASONS.get(code) ?? error.message;
      const failure = new Error(`listen on ${where} for ${name}: ${why}${code === '' ? '' : ` (${code})`}`, { cause: error });
      reject(Object.assign(failure, { code: error.code }));
    }
    server.once('error', onError);
    server.listen({ port, ...(address === '' ? {} : { host: address }) }, () => {
      server.removeListener('error', onError);
      resolve();
    });
  });
}
