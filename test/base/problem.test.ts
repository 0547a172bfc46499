import t from 'tap';
import { formatProblem } from '../../src/base/problem.ts';

t.test('a name that is quoted stays in the line of its problem, and gives no orders to a terminal', async (t) => {
  const problem = {
    severity: 'error',
    file: 'a\x1b.yaml',
    line: 1,
    column: 2,
    field: '\x9b31m',
    message: 'no\nline é \u202e',
  } as const;
  t.equal(formatProblem(problem), 'a\\x1b.yaml:1:2 \\x9b31m: no\\x0aline é \\u{202e}');
  t.equal(formatProblem({ ...problem, severity: 'warning', line: 0 }), 'a\\x1b.yaml warning: \\x9b31m: no\\x0aline é \\u{202e}');
});
