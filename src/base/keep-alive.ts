/**
 * Options of a TCP socket that may be quiet for long: after a minute without a byte the kernel
 * probes the other machine, which may have gone silently, and ends the connection after ten
 * unanswered probes, a second apart.
 */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 60_000 } as const;
