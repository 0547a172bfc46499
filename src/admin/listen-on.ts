import type { Server } from 'node:net';

export interface ListenOn {
  /** Empty listens on every address. */
  readonly address: string;
  readonly port: number;
  /** For error texts: what this listener is for. */
  readonly name: string;
}

/** Rejects with the code of the system where it cannot listen. */
export function listenOn(server: Server, { address, port, name }: ListenOn): Promise<void> {
  return new Promise((resolve, reject) => {
    function onError(error: NodeJS.ErrnoException): void {
      const where = `${address === '' ? '*' : address}:${port}`;
      const failure = new Error(`listen on ${where} for ${name}: ${error.code ?? error.message}`, { cause: error });
      reject(Object.assign(failure, { code: error.code }));
    }
    server.once('error', onError);
    server.listen({ port, ...(address === '' ? {} : { host: address }) }, () => {
      server.removeListener('error', onError);
      resolve();
    });
  });
}
