// Reads tap's TAP line by line: failures with path and diff, skips with their reason, and the
// counts.

/** `onFailure` receives the text of each failure as soon as it is complete. */
export function tapSummary(onFailure) {
  /** Names of the open subtests; the first is the file. */
  const path = [];
  /**
   * For each depth, whether a failure below it was printed: the failure of the parent adds nothing
   * then.
   */
  const told = [];
  const skipped = new Map();
  const seen = { files: 0, passed: 0, failed: 0 };
  let totals = null;
  let failure = null;
  let failures = 0;

  function flush() {
    if (failure === null) return;
    onFailure(`${failure.title}\n${failure.lines.map((line) => `  ${line.slice(failure.indent)}`.trimEnd()).join('\n')}\n`);
    failures++;
    failure = null;
  }

  function result(depth, ok, name) {
    const closes = path.length > depth && name.startsWith(path[depth]);
    const where = [...path.slice(0, depth), nameOnly(name)];
    const skip = /# SKIP ?(.*?)(?: # time=.*)?$/.exec(name);
    if (depth === 0) seen.files++;
    if (skip) {
      const reason = skip[1].replace(/^skipped: /, '') || 'no reason given';
      skipped.set(reason, [...(skipped.get(reason) ?? []), where.join(' > ')]);
    } else if (!closes) seen[ok ? 'passed' : 'failed']++;
    if (!ok && !told[depth + 1] && !/# TODO/.test(name))
      failure = { title: where.join(' > '), lines: [], indent: 4 * depth + 2, open: false };
    told[depth] = told[depth] === true || !ok;
    told.length = depth + 1;
    path.length = Math.min(path.length, depth);
  }

  return {
    line(line) {
      if (failure !== null) {
        const text = line.trim();
        if (failure.open) {
          if (text === '...' && line.indexOf('...') === failure.indent) flush();
          else failure.lines.push(line);
          return;
        }
        if (text === '---') return void (failure.open = true);
        flush();
      }
      const subtest = /^( *)# Subtest: (.*)$/.exec(line);
      if (subtest) {
        const depth = subtest[1].length / 4;
        path.length = Math.min(path.length, depth);
        path[depth] = subtest[2];
        told.length = Math.min(told.length, depth + 1);
        return;
      }
      const outcome = /^( *)(not )?ok \d+(?: - (.*))?$/.exec(line);
      if (outcome) return result(outcome[1].length / 4, outcome[2] === undefined, outcome[3] ?? '');
      const total = /^# \{ total: \d+, pass: (\d+)(?:, fail: (\d+))?/.exec(line);
      if (total) totals = { passed: Number(total[1]), failed: Number(total[2] ?? 0) };
    },
    /** Returns the counts. Without the totals, which come last, the run did not end by itself. */
    end() {
      flush();
      const { passed, failed } = totals ?? seen;
      const count = [...skipped.values()].reduce((sum, { length }) => sum + length, 0);
      return { whole: totals !== null, files: seen.files, passed, failed: Math.max(failed, failures), skipped, skips: count };
    },
  };
}

function nameOnly(name) {
  return name.replace(/ # (SKIP|TODO|time=).*$/, '');
}
