import { isSignedBy, publicKeyIn } from '../identity/proxy-token.ts';
import type { TokenInspectCommand } from './commands/token-inspect.ts';
import { EXIT_CONFIG } from './exit-codes.ts';
import { fileText } from './file-text.ts';
import { Stopped, untilStopped } from './load-folder.ts';
import type { Terminal } from './terminal.ts';
import { checkedToken } from './token.ts';
import { tokenReport } from './token-report.ts';
import type { TokenReport } from './token-report.ts';

/**
 * Prints the content of a token and why a control plane would refuse it; never the token itself.
 */
export function tokenInspectCommand(options: TokenInspectCommand, terminal: Terminal): Promise<number> {
  const { file, publicKeyPath, output } = options;
  return untilStopped(terminal, () => {
    const token = tokenIn(file);
    const report = tokenReport(token, { nowMs: Date.now(), isSigned: signature(token, publicKeyPath) });
    terminal.out(output === 'json' ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
    return Promise.resolve(report.problems.length === 0 ? 0 : EXIT_CONFIG);
  });
}

function tokenIn(file: string): string {
  const text = fileText(file);
  try {
    return checkedToken(text);
  } catch (error) {
    throw new Stopped(EXIT_CONFIG, `${file}: ${error instanceof Error ? error.message : 'it is no token'}`);
  }
}

/** Tells whether the key of the file signed the token; null without a key. */
function signature(token: string, publicKeyPath: string | null): boolean | null {
  if (publicKeyPath === null) return null;
  const text = fileText(publicKeyPath);
  try {
    return isSignedBy(token, publicKeyIn(text));
  } catch (error) {
    throw new Stopped(EXIT_CONFIG, `${publicKeyPath}: ${error instanceof Error ? error.message : 'the key cannot be used'}`);
  }
}

const SIGNATURES = { good: 'good', wrong: 'wrong', unchecked: 'not checked; --public-key-path FILE checks it' } as const;

function textOf({ what, lines, signature: signed, problems }: TokenReport): string {
  const rows: readonly (readonly [string, string])[] = [['token', what], ...lines, ['signature', SIGNATURES[signed]]];
  const table = rows.map(([name, value]) => `${name.padEnd(13)}${value}\n`).join('');
  return `${table}${problems.map((problem) => `${'refused'.padEnd(13)}${problem}\n`).join('')}`;
}
