import type { Command } from './model.ts';

/** Words that no shell reads anything into. */
export const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

export const flagNames = (command: Command): readonly string[] => command.flags.flatMap(({ names }) => names);

/** Of flags that a value follows. */
export const valuedNames = (command: Command): readonly string[] =>
  command.flags.flatMap(({ names, value }) => (value === undefined ? [] : names));

/** The commands that a line can be about: verbs, and actions as `system df`. */
export const allCommands = (commands: readonly Command[]): readonly (readonly [string, Command])[] =>
  commands.flatMap((command) => [
    [command.name, command] as const,
    ...command.actions.map((action) => [`${command.name} ${action.name}`, action] as const),
  ]);
