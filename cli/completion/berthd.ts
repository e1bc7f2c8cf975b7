import { quoted } from './shell.ts';

/** berthd is another program, whose words this room cannot read: critest/docs.test.ts compares them with its help. */
export const berthdFlags: readonly (readonly [names: string, value: string, text: string])[] = [
  ['--config', 'FILE', 'configuration (TOML)'],
  ['--root', 'DIRECTORY', 'what survives a reboot'],
  ['--state', 'DIRECTORY', 'what does not'],
  ['--listen', 'ADDRESS', 'where clients connect to'],
  ['--log-level', 'debug info warn error', 'how much is logged'],
  ['--help', '', 'help'],
  ['--version', '', 'the version'],
];

export const berthdActions: readonly (readonly [name: string, text: string])[] = [
  ['default', 'print a file with every key and its default'],
  ['check', 'say what is wrong with a configuration'],
  ['dump', 'print what holds and where it comes from'],
];

const flagNames = berthdFlags.map(([name]) => name).join(' ');
const actionNames = berthdActions.map(([name]) => name).join(' ');
const levels = berthdFlags.find(([name]) => name === '--log-level')?.[1] ?? '';

export const berthdBash = `_berthd() {
  local cur=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} next= files=
  case $before in
    --config|check|dump) files=-f ;;
    --root|--state) files=-d ;;
    --listen) ;;
    --log-level) next=${quoted(levels)} ;;
    config) next=${quoted(actionNames)} ;;
    *) if [[ $cur == -* ]]; then next=${quoted(flagNames)}; else next=config; fi ;;
  esac
  COMPREPLY=()
  [[ $next ]] && mapfile -t COMPREPLY < <(compgen -W "$next" -- "$cur")
  if [[ $files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$files" -- "$cur")
  fi
}

complete -F _berthd berthd
`;

const zshValue = (value: string): string => {
  if (value === 'FILE') return ':file:_files';
  if (value === 'DIRECTORY') return ':directory:_files -/';
  if (value === '') return '';
  return value === 'ADDRESS' ? ':address:' : `:level:(${value})`;
};

export const berthdZsh = `_berthd() {
  _arguments \\
${berthdFlags.map(([name, value, text]) => `    ${quoted(`${name}[${text}]${zshValue(value)}`)} \\`).join('\n')}
    '1: :(config)' \\
    '2: :(${actionNames})' \\
    '3: :_files'
}
`;

const fishValue = (value: string): string => {
  if (value === '') return '';
  if (value === 'ADDRESS') return ' -x';
  return value === 'FILE' || value === 'DIRECTORY' ? ' -r -F' : ` -x -a ${quoted(value)}`;
};

export const berthdFish = `complete -c berthd -f
complete -c berthd -n 'not __fish_seen_subcommand_from config' -a config -d 'about the configuration'
${berthdActions
  .map(([name, text]) => {
    const condition = `__fish_seen_subcommand_from config; and not __fish_seen_subcommand_from ${actionNames}`;
    return `complete -c berthd -n ${quoted(condition)} -a ${name} -d ${quoted(text)}`;
  })
  .join('\n')}
complete -c berthd -n '__fish_seen_subcommand_from check dump' -F
${berthdFlags.map(([name, value, text]) => `complete -c berthd -l ${name.slice(2)}${fishValue(value)} -d ${quoted(text)}`).join('\n')}
`;
