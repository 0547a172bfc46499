import t from 'tap';
import { NORMAL_ENDS, REFUSALS } from '../../src/base/refusal.ts';

t.test('every refusal says what it means and what to do, in plain lower-case words', async (t) => {
  for (const [code, { meaning, remedy }] of Object.entries(REFUSALS)) {
    t.match(code, /^[a-z]+(-[a-z]+)*$/);
    t.ok(meaning.length > 20 && remedy.length > 10, `${code} explains itself`);
    t.notMatch(meaning, /^[A-Z][a-z]/, `${code} reads as the second half of a sentence`);
  }
});

t.test('a normal end is never a refusal', async (t) => {
  for (const end of Object.keys(NORMAL_ENDS)) t.notOk(end in REFUSALS, end);
});
