/**
 * How a TCP socket is opened that may be quiet for long: the kernel asks the other machine, which
 * may have gone without a word, after a minute without a byte, and ends the connection when ten
 * questions, a second apart, have no answer.
 */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 60_000 } as const;
