/**
 * For a socket whose errors say nothing more: each ends in 'close'. An emitter without a listener
 * for 'error' would end the process.
 */
export function ignoreError(): void {}
