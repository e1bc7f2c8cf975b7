import { berthdBash } from './berthd.ts';
import { type Command, choicesOf, isFile } from './model.ts';
import { allCommands, flagNames, quoted, valuedNames } from './shell.ts';

/** The verbs and flags are in the script; names of objects are asked of berthd, by `berth completion --words KIND`. */
export const bashScript = (
  commands: readonly Command[],
): string => `# bash completion of berth and berthd, made by: berth completion bash
_berth_about() {
  flags= valued= kinds= files= ends= next=
  case $1 in
${[['', top(commands)] as const, ...allCommands(commands).map(([path, command]) => [path, facts(command)] as const)]
  .map(([path, text]) => `    ${quoted(path)}) ${text} ;;`)
  .join('\n')}
  esac
}

_berth_value() {
  case "$1 $2" in
${allCommands(commands)
  .flatMap(([path, command]) => values(path, command))
  .map((text) => `    ${text} ;;`)
  .join('\n')}
  esac
}

_berth() {
  local line=\${COMP_LINE:0:COMP_POINT} cur about= word before= count=0 at kind
  local flags valued kinds files ends next
  local -a words address=()
  # Not COMP_WORDS: bash parts names of images at their colons.
  cur=\${line##*[[:space:]]}
  read -ra words <<<"\${line%"$cur"}"
  COMPREPLY=()
  _berth_about ''
  for ((at = 1; at < \${#words[@]}; at++)); do
    word=\${words[at]}
    if [[ -n $before ]]; then
      [[ $before == --address ]] && address=(--address "$word")
      before=
    elif [[ $word == --address=* ]]; then address=("$word")
    elif [[ " $valued " == *" $word "* ]]; then before=$word
    elif [[ $word == -* ]]; then :
    elif [[ " $next " == *" $word "* ]]; then
      about=\${about:+$about }$word
      _berth_about "$about"
    elif [[ -z $about ]]; then return
    else ((count++)); fi
  done
  if [[ -n $before ]]; then
    next=$(_berth_value "$about" "$before") flags= kinds= files=
    [[ $next == FILE ]] && next= files=1
  elif [[ $ends && $count -gt 0 ]]; then return
  elif [[ $cur == -* ]]; then next=$flags kinds= files=
  fi
  for kind in $kinds; do next+=" $(berth "\${address[@]}" completion --words "$kind" 2>/dev/null)"; done
  [[ $next ]] && mapfile -t COMPREPLY < <(compgen -W "$next" -- "$cur")
  if [[ $files && \${#COMPREPLY[@]} -eq 0 ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  fi
  # what stands before the last colon is another word to bash
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then COMPREPLY=("\${COMPREPLY[@]#"\${cur%"\${cur##*:}"}"}"); fi
}

complete -F _berth berth

${berthdBash}`;

const top = (commands: readonly Command[]): string =>
  `flags='--address --version --help' valued='--address' next=${quoted(commands.map(({ name }) => name).join(' '))}`;

const facts = (command: Command): string =>
  [
    ['flags', flagNames(command).join(' ')],
    ['valued', valuedNames(command).join(' ')],
    ['kinds', command.kinds.join(' ')],
    ['files', command.takesFiles ? '1' : ''],
    ['ends', command.endsAtFirst ? '1' : ''],
    ['next', command.actions.map(({ name }) => name).join(' ')],
  ]
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}=${quoted(value ?? '')}`)
    .join(' ') || ':';

/** What may follow a flag: words, or the word FILE. */
const values = (path: string, { flags }: Command): readonly string[] =>
  flags.flatMap(({ names, value = '' }) => {
    const words = isFile(value) ? 'FILE' : choicesOf(value).join(' ');
    return words === '' ? [] : [`${names.map((name) => quoted(`${path} ${name}`)).join('|')}) echo ${quoted(words)}`];
  });
