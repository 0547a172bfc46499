import t from 'tap';
import { renderTemplate } from '../../src/cli/template.ts';

t.test('variables are filled in as kuma-dp does it', async (t) => {
  const vars = [
    ['name', 'egress-1'],
    ['net.address', '192.0.2.1'],
    ['net.port', '10002'],
    ['odd', `<a href="x">'&'`],
  ] as const;
  const cases: readonly [template: string, rendered: string][] = [
    ['name: {{ name }}', 'name: egress-1'],
    ['{{name}}{{ name}}', 'egress-1egress-1'],
    ['{{ net.address }}:{{net.port}}', '192.0.2.1:10002'],
    ['[{{ nothing }}]', '[]'],
    ['[{{ net }}]', '[]'],
    ['[{{ net.nothing }}]', '[]'],
    ['[{{ name.inner }}]', '[]'],
    ['{{ odd }}', '&lt;a href=&#34;x&#34;&gt;&#39;&amp;&#39;'],
    ['{{{ odd }}}', `<a href="x">'&'`],
    ['{{& odd }}', `<a href="x">'&'`],
    ['a{{! of no matter }}b', 'ab'],
    ['{{#name}}\nyes {{.}}\n{{/name}}\n{{^name}}no{{/name}}', 'yes egress-1\n'],
    ['{{#nothing}}yes {{#name}}deep{{/name}}{{/nothing}}{{^nothing}}no{{/nothing}}', 'no'],
    ['{{#net}}{{address}} {{name}}{{/net}}', '192.0.2.1 egress-1'],
    ['{{=<% %>=}}<% name %> {{name}}', 'egress-1 {{name}}'],
    ['no tag } }} at all', 'no tag } }} at all'],
    ['{{ constructor }}{{ __proto__ }}', ''],
  ];
  for (const [template, rendered] of cases) t.equal(renderTemplate(template, vars), rendered, template);
});

t.test('keys with a common beginning do not overwrite each other, and the last of one key counts', async (t) => {
  t.equal(
    renderTemplate('{{ a.b }}{{ a.c }}', [
      ['a.b', '1'],
      ['a.c', '2'],
      ['a.b', '3'],
    ]),
    '32',
  );
});

t.test('names that every object has are names like others', async (t) => {
  t.equal(renderTemplate('{{#constructor}}there{{/constructor}}{{#a.toString}}there{{/a.toString}}', [['a.b', '1']]), '');
  t.equal(renderTemplate('{{ __proto__.polluted }}', [['__proto__.polluted', 'here only']]), 'here only');
  t.notOk('polluted' in {});
});

t.test('a template that cannot be read says its line', async (t) => {
  const cases: readonly [template: string, message: RegExp][] = [
    ['a\n{{ name', /^line 2: unmatched open tag$/],
    ['{{ }}', /^line 1: empty tag$/],
    ['{{#a}}', /section a is not closed/],
    ['{{#a}}{{/b}}', /\{\{\/b\}\} closes nothing/],
    ['{{/a}}', /closes nothing/],
    ['{{> file }}', /partials/],
    ['{{= a =}}', /invalid delimiters/],
  ];
  for (const [template, message] of cases) t.throws(() => renderTemplate(template, []), { message }, template);
});
