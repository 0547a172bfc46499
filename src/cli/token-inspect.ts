import { isSignedBy, publicKeyIn } from '../identity/proxy-token.ts';
import type { TokenInspectCommand } from './commands/token-inspect.ts';
import { EXIT_CONFIG } from './exit-codes.ts';
import { parsedFile } from './file-text.ts';
import { untilStopped } from './load-folder.ts';
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
    const token = parsedFile(file, checkedToken);
    const key = publicKeyPath === null ? null : parsedFile(publicKeyPath, publicKeyIn);
    const report = tokenReport(token, { nowMs: Date.now(), isSigned: key === null ? null : isSignedBy(token, key) });
    terminal.out(output === 'json' ? `${JSON.stringify(report, null, 2)}\n` : textOf(report));
    return Promise.resolve(report.problems.length === 0 ? 0 : EXIT_CONFIG);
  });
}

const SIGNATURES = { good: 'good', wrong: 'wrong', unchecked: 'not checked; --public-key-path FILE checks it' } as const;

function textOf({ what, lines, signature: signed, problems }: TokenReport): string {
  const rows: readonly (readonly [string, string])[] = [['token', what], ...lines, ['signature', SIGNATURES[signed]]];
  const table = rows.map(([name, value]) => `${name.padEnd(13)}${value}\n`).join('');
  return `${table}${problems.map((problem) => `${'refused'.padEnd(13)}${problem}\n`).join('')}`;
}
