/** Calls `gone` once when one of the processes that wait for this one (npm, npx, shells) is no longer there. `wrapper` is the pid of one that is known. */
export function followStarters(gone: () => void, wrapper?: number): void;

/** The log line for it. */
export const STARTER_IS_GONE: string;
