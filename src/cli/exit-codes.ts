/** The codes of docs/reference/options.md. */
export const EXIT_USAGE = 64;
export const EXIT_NO_INPUT = 66;
/** Nothing answers, or not as it should. */
export const EXIT_UNAVAILABLE = 69;
export const EXIT_CONFIG = 78;
