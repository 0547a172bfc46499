/**
 * Listens for 'error' on a socket whose errors add nothing: 'close' follows each of them. An
 * emitter without such a listener would end the process.
 */
export function ignoreError(): void {}
