/** As docs/reference/options.md lists them. */
export const EXIT_NO_INPUT = 66;
export const EXIT_CONFIG = 78;
