/**
 * Of a socket that nobody asks for its errors any more: each ends in 'close', and one without a
 * listener would end the process.
 */
export function ignoreError(): void {}
