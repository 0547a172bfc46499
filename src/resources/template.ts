/**
 * The forms of Go's templates that make names: `{{ .Field }}` and `{{ label "key" }}`. Other forms
 * are not read.
 */
const ACTION = /\{\{\s*(?:\.([A-Za-z]+)|label\s+"([^"]*)")\s*\}\}/g;

export interface TemplateValues {
  /** Keyed by the name of the field, e.g. `Mesh`. */
  readonly fields: Readonly<Record<string, string>>;
  readonly labels: ReadonlyMap<string, string>;
}

export type Rendered = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'problem'; readonly problem: string };

/** Returns why it cannot be read; null where it can. */
export function templateProblem(template: string): string | null {
  const rest = template.replace(ACTION, '');
  return /\{\{|\}\}/.test(rest) ? 'only {{ .Field }} and {{ label "key" }} are read here' : null;
}

export function renderGoTemplate(template: string, { fields, labels }: TemplateValues): Rendered {
  const problems: string[] = [];
  const unread = templateProblem(template);
  if (unread !== null) problems.push(unread);
  const text = template.replace(ACTION, (_, field: string | undefined, label: string | undefined) => {
    if (label !== undefined) {
      const value = labels.get(label);
      if (value === undefined) problems.push(`label ${label} not found`);
      return value ?? '';
    }
    const name = field ?? '';
    const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (value === undefined) problems.push(`can't evaluate field ${name}: there are ${Object.keys(fields).join(', ')}`);
    else if (value === '') problems.push(`.${name} is empty`);
    return value ?? '';
  });
  const [problem] = problems;
  return problem === undefined ? { kind: 'text', text } : { kind: 'problem', problem };
}
