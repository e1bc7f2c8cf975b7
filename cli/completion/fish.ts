import { berthdFish } from './berthd.ts';
import { type Command, choicesOf, type Flag, isFile, type Kind } from './model.ts';

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** For ~/.config/fish/completions/berth.fish. */
export const fishScript = (commands: readonly Command[]): string => {
  const names = commands.map(({ name }) => name).join(' ');
  const isFirst = quoted(`not __fish_seen_subcommand_from ${names}`);
  return `# fish completion of berth and berthd, made by: berth completion fish
function __berth_objects
    set -l address (string match -r -- '--address[= ]\\S+' (commandline -cp) | string replace = ' ' | string split ' ')
    berth $address completion --words $argv 2>/dev/null
end
complete -c berth -f
complete -c berth -n ${isFirst} -l address -x -d 'socket of berthd'
complete -c berth -n ${isFirst} -l version -d 'the version'
complete -c berth -n ${isFirst} -s h -l help -d 'help'
${commands.map(({ name, text }) => `complete -c berth -n ${isFirst} -a ${name} -d ${quoted(text)}`).join('\n')}
${commands.flatMap((command) => linesOf(command, `__fish_seen_subcommand_from ${command.name}`)).join('\n')}
${berthdFish}`;
};

const linesOf = (command: Command, condition: string): readonly string[] => {
  const actionNames = command.actions.map(({ name }) => name).join(' ');
  const isFirst = quoted(`${condition}; and not __fish_seen_subcommand_from ${actionNames}`);
  const start = `complete -c berth -n ${quoted(condition)}`;
  return [
    ...command.flags.map((flag) => `${start} ${flagWords(flag)}`),
    ...command.kinds.map((kind) => `${start} -a ${quoted(objects(kind))}`),
    ...(command.takesFiles ? [`${start} -F`] : []),
    ...command.actions.map(({ name, text }) => `complete -c berth -n ${isFirst} -a ${name} -d ${quoted(text)}`),
    ...command.actions.flatMap((action) =>
      linesOf(action, `${condition}; and __fish_seen_subcommand_from ${action.name}`),
    ),
  ];
};

const objects = (kind: Kind): string => `(__berth_objects ${kind})`;

const flagWords = ({ names, value, text }: Flag): string => {
  const words = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  return [...words, ...(value === undefined ? [] : [valueWords(value)]), `-d ${quoted(text)}`].join(' ');
};

const valueWords = (value: string): string => {
  if (isFile(value)) return '-r -F';
  return choicesOf(value).length === 0 ? '-x' : `-x -a ${quoted(choicesOf(value).join(' '))}`;
};
