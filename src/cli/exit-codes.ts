/** The codes of docs/reference/options.md. */
export const EXIT_NO_INPUT = 66;
export const EXIT_CONFIG = 78;
