import { berthdZsh } from './berthd.ts';
import { type Command, choicesOf, type Flag, isFile } from './model.ts';
import { quoted } from './shell.ts';

/** For a directory of fpath, as the file `_berth`. */
export const zshScript = (commands: readonly Command[]): string => `#compdef berth berthd
# zsh completion of berth and berthd, made by: berth completion zsh
_berth_objects() {
  local -a found
  found=(\${(f)"$(berth $address completion --words $1 2>/dev/null)"})
  compadd -a found
}

${berthdZsh}
_berth() {
  # zsh calls this one function for both
  if [[ $service == berthd ]]; then _berthd "$@"; return; fi
  local context state line
  typeset -A opt_args
  _arguments -C \\
    '--address[socket of berthd]:address:' \\
    '(- *)--version[the version]' \\
    '(- *)'{-h,--help}'[help]' \\
    '1: :->verb' \\
    '*:: :->words'
  # the verb's own _arguments makes opt_args anew; colons are escaped in it
  local -a address
  (( \${+opt_args[--address]} )) && address=(--address "\${(Q)opt_args[--address]}")
  case $state in
    verb)
      local -a verbs=(
${commands.map(({ name, text }) => `        ${quoted(`${name}:${text}`)}`).join('\n')}
      )
      _describe verb verbs ;;
    words)
      case $line[1] in
${commands.map((command) => `        ${command.name})\n${body(command, '          ')} ;;`).join('\n')}
      esac ;;
  esac
}

_berth "$@"
`;

const body = (command: Command, indent: string): string => {
  if (command.actions.length === 0) return `${indent}${argumentsOf(command, indent)}`;
  const actions = command.actions.map(({ name, text }) => quoted(`${name}:${text}`)).join(' ');
  return `${indent}if (( CURRENT == 2 )); then
${indent}  local -a actions=(${actions})
${indent}  _describe action actions${command.flags.length === 0 ? '' : `\n${indent}  ${argumentsOf(command, indent)}`}
${indent}else
${indent}  shift words; (( CURRENT-- ))
${indent}  case $words[1] in
${command.actions.map((action) => `${indent}    ${action.name}) ${argumentsOf(action, `${indent}    `)} ;;`).join('\n')}
${indent}  esac
${indent}fi`;
};

const argumentsOf = (command: Command, indent: string): string =>
  ['_arguments -S', ...command.flags.flatMap(flagSpecs), ...words(command)].join(` \\\n${indent}  `);

/** Brackets and colons part a spec. */
const escaped = (text: string): string => text.replaceAll(/[\\:[\]]/g, '\\$&');

const flagSpecs = ({ names, value, text }: Flag): readonly string[] =>
  names.map((name) => quoted(`${name}[${escaped(text)}]${value === undefined ? '' : valueSpec(value)}`));

const valueSpec = (value: string): string => {
  if (isFile(value)) return `:${escaped(value)}:_files`;
  return `:${escaped(value)}:${choicesOf(value).length === 0 ? '' : `(${choicesOf(value).join(' ')})`}`;
};

const words = ({ kinds, takesFiles, endsAtFirst }: Command): readonly string[] => {
  // with a blank before it _arguments puts no words of its own behind the function's name
  const actions = [...kinds.map((kind) => ` _berth_objects ${kind}`), ...(takesFiles ? ['_files'] : [])];
  if (actions.length === 0) return [];
  const [only = ''] = actions;
  const action = actions.length === 1 ? only : `{ ${actions.join('; ')} }`;
  return endsAtFirst ? [quoted(`1: :${action}`)] : [quoted(`*: :${action}`)];
};
