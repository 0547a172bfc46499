import type { Shell } from './commands/completion.ts';
import { completedCommands, firstWords } from './completion-words.ts';
import type { Completed, CompletedCommand, CompletedOption } from './completion-words.ts';

/** Returns the script that a shell reads, made from the commands and their options. */
export function completion(shell: Shell): string {
  return { bash, zsh, fish }[shell]();
}

const HELP = 'print the usage of the command';

/** Words that are no commands of the table. */
const ALSO: readonly string[] = ['version', 'help'];

function spaced(words: readonly string[]): string {
  return words.map((word) => word.replaceAll("'", '')).join(' ');
}

function flagsOf({ name, short }: CompletedOption): readonly string[] {
  return short === null ? [`--${name}`] : [`--${name}`, `-${short}`];
}

function bash(): string {
  const firsts = firstWords();
  const groups = [...firsts].filter(([, under]) => under.length > 0);
  const lines = [
    '# Made by `zone-egress completion bash`.',
    // Not mapfile: the bash of macOS has none.
    '_zone_egress_take() { local line; while IFS= read -r line; do COMPREPLY+=("$line"); done; }',
    '_zone_egress_words() { _zone_egress_take < <(compgen -W "$1" -- "$2"); }',
    '_zone_egress_paths() { compopt -o filenames 2>/dev/null || :; _zone_egress_take < <(compgen "$1" -- "$2"); }',
    '_zone_egress() {',
    '  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options=',
    '  COMPREPLY=()',
    `  if ((COMP_CWORD == 1)); then _zone_egress_words '${spaced([...firsts.keys(), ...ALSO])}' "$cur"; return; fi`,
    '  # Bash makes a word of its own of the `=` in --option=value.',
    `  if [[ $cur == '=' ]]; then cur=; elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi`,
    '  case $command in',
    `    help) if ((COMP_CWORD == 2)); then _zone_egress_words '${spaced([...firsts.keys()])}' "$cur"; fi; return ;;`,
    ...groups.map(
      ([first, under]) =>
        `    ${first}) if ((COMP_CWORD == 2)); then _zone_egress_words '${spaced(under)}' "$cur"; return; fi; command="${first} \${COMP_WORDS[2]}" ;;`,
    ),
    '  esac',
    '  case $command in',
    ...completedCommands().flatMap(bashCommand),
    '  esac',
    '  if [[ $cur == -* ]]; then _zone_egress_words "$options" "$cur"; else _zone_egress_paths -f "$cur"; fi',
    '}',
    'complete -F _zone_egress zone-egress',
  ];
  return `${lines.join('\n')}\n`;
}

function bashCommand({ words, options }: CompletedCommand): readonly string[] {
  const valued = options.flatMap((option) => {
    const act = bashValue(option.takes);
    return act === null ? [] : [`        ${flagsOf(option).join('|')}) ${act}return ;;`];
  });
  return [
    `    '${words.join(' ')}')`,
    ...(valued.length === 0 ? [] : ['      case $prev in', ...valued, '      esac']),
    `      options='${spaced([...options.flatMap(flagsOf), '--help'])}' ;;`,
  ];
}

function bashValue(takes: Completed): string | null {
  switch (takes.kind) {
    case 'switch':
      return null;
    case 'words':
      return `_zone_egress_words '${spaced(takes.words)}' "$cur"; `;
    case 'files':
      return '_zone_egress_paths -f "$cur"; ';
    case 'folders':
      return '_zone_egress_paths -d "$cur"; ';
    case 'text':
      return '';
    default:
      return takes satisfies never;
  }
}

/** Escapes for a text in single quotes in which zsh reads `:`, `[` and `]`. */
function zshText(text: string): string {
  return text.replaceAll("'", '’').replace(/[\\:[\]]/g, (sign) => `\\${sign}`);
}

function zsh(): string {
  const firsts = [...firstWords()];
  const commands = completedCommands();
  const described = (all: readonly CompletedCommand[], at: number): string =>
    all.map(({ words, what }) => `'${words[at] ?? ''}:${zshText(what)}'`).join(' ');
  const one = firsts.map(([first]) => commands.find(({ words }) => words[0] === first)).filter((found) => found !== undefined);
  const lines = [
    '#compdef zone-egress',
    '# Made by `zone-egress completion zsh`.',
    '_zone_egress() {',
    '  local -a words_of; local command=$words[2]',
    `  if (( CURRENT == 2 )); then words_of=(${described(one, 0)} version help); _describe command words_of; return; fi`,
    '  case $command in',
    `    help) if (( CURRENT == 3 )); then words_of=(${described(one, 0)}); _describe command words_of; fi; return ;;`,
    ...firsts
      .filter(([, under]) => under.length > 0)
      .map(([first]) => {
        const below = described(
          commands.filter(({ words }) => words[0] === first),
          1,
        );
        return `    ${first}) if (( CURRENT == 3 )); then words_of=(${below}); _describe command words_of; return; fi; command="${first} $words[3]"; shift words; (( CURRENT-- )) ;;`;
      }),
    '  esac',
    '  shift words; (( CURRENT-- ))',
    '  case $command in',
    ...commands.map(
      ({ words, options }) =>
        `    '${words.join(' ')}') _arguments ${[...options.flatMap(zshOption), `'--help[${HELP}]'`, "'*:file:_files'"].join(' ')} ;;`,
    ),
    '  esac',
    '}',
    '# Loaded by its file name, in the first completion, or read by source.',
    'if [[ $funcstack[1] == _zone[-_]egress ]]; then _zone_egress "$@"; else compdef _zone_egress zone-egress; fi',
  ];
  return `${lines.join('\n')}\n`;
}

function zshOption(option: CompletedOption): readonly string[] {
  const { help, value, takes } = option;
  const values: Readonly<Record<Completed['kind'], string>> = {
    switch: '',
    words: takes.kind === 'words' ? `:${zshText(value)}:(${spaced(takes.words)})` : '',
    files: ':file:_files',
    folders: ':folder:_files -/',
    text: `:${zshText(value === '' ? 'value' : value)}: `,
  };
  return flagsOf(option).map((flag) => {
    const joint = takes.kind === 'switch' ? '' : flag.startsWith('--') ? '=' : '+';
    return `'*${flag}${joint}[${zshText(help)}]${values[takes.kind]}'`;
  });
}

function fishText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function fish(): string {
  const commands = completedCommands();
  const firsts = [...firstWords()];
  const first = firsts.map(([word, under]) => {
    const what = commands.find(({ words }) => words[0] === word)?.what ?? '';
    return `complete -c zone-egress -f -n __fish_use_subcommand -a ${word} -d ${fishText(under.length > 0 ? under.join(', ') : what)}`;
  });
  const second = commands.flatMap(({ words: [word = '', below], what }) => {
    const under = firsts.find(([each]) => each === word)?.[1] ?? [];
    const isOpen = `__fish_seen_subcommand_from ${word}; and not __fish_seen_subcommand_from ${under.join(' ')}`;
    return below === undefined ? [] : [`complete -c zone-egress -f -n ${fishText(isOpen)} -a ${below} -d ${fishText(what)}`];
  });
  const options = commands.flatMap(({ words, options }) => {
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
    return options.map((option) => `complete -c zone-egress -n ${fishText(seen)} ${fishOption(option)}`);
  });
  const all = [
    ...ALSO.map((word) => `complete -c zone-egress -f -n __fish_use_subcommand -a ${word}`),
    `complete -c zone-egress -f -n '__fish_seen_subcommand_from help' -a ${fishText(spaced(firsts.map(([word]) => word)))}`,
    `complete -c zone-egress -l help -d ${fishText(HELP)}`,
  ];
  return `${['# Made by `zone-egress completion fish`.', ...first, ...all, ...second, ...options].join('\n')}\n`;
}

function fishOption({ name, short, help, takes }: CompletedOption): string {
  const values: Readonly<Record<Completed['kind'], string>> = {
    switch: '',
    words: takes.kind === 'words' ? ` -x -a ${fishText(spaced(takes.words))}` : '',
    files: ' -r -F',
    folders: " -x -a '(__fish_complete_directories)'",
    text: ' -x',
  };
  return `-l ${name}${short === null ? '' : ` -s ${short}`}${values[takes.kind]} -d ${fishText(help)}`;
}
