import type { Verb } from '../context.ts';

/** What a word may be that a shell cannot know by itself. */
export type Kind = 'containers' | 'pods' | 'images';

export interface Flag {
  /** `-f`, `--force` */
  readonly names: readonly string[];
  /** What follows it; undefined for a switch. */
  readonly value: string | undefined;
  readonly text: string;
}

/** A verb, or an action of one (`system df`). */
export interface Command {
  readonly name: string;
  readonly text: string;
  readonly flags: readonly Flag[];
  readonly kinds: readonly Kind[];
  readonly takesFiles: boolean;
  /** What follows the first word belongs to the container. */
  readonly endsAtFirst: boolean;
  readonly actions: readonly Command[];
}

/** From a verb's own help, so that nothing is told twice. */
export const commandOf = ({ name, usage, summary, options }: Verb): Command => {
  const actionNames = [...new Set(options.flatMap(([left]) => /^([a-z]+)(?: |$)/.exec(left)?.[1] ?? []))];
  const actions = actionNames.map((action) => actionOf(action, options));
  // options in brackets are no words of their own
  const words = usage.replaceAll(/\[-[^\]]*\]…?/g, '');
  return {
    name,
    text: summary,
    flags: options.filter(([left]) => left.startsWith('-')).map(flagOf),
    kinds: kindsOf(words),
    takesFiles: /\b(?:PATH|DIRECTORY|FILE)\b/.test(words),
    endsAtFirst: /(?:ARGUMENT…\]|COMMAND)/.test(words),
    actions,
  };
};

const actionOf = (name: string, options: Verb['options']): Command => {
  const own = options.filter(([left]) => left === name || left.startsWith(`${name} `));
  return {
    name,
    text: own.find(([left]) => left === name)?.[1] ?? '',
    flags: own
      .filter(([left]) => left.startsWith(`${name} -`))
      .map(([left, text]) => flagOf([left.slice(name.length + 1), text])),
    kinds: [],
    takesFiles: false,
    endsAtFirst: false,
    actions: [],
  };
};

/** `-e, --env NAME=VALUE` */
const flagOf = ([left, text]: readonly [string, string]): Flag => {
  const [, value] = / ([^-\s]\S*)$/.exec(left) ?? [];
  return { names: left.match(/(?<=^|, )--?[a-z-]+/g) ?? [], value, text };
};

const kindsOf = (words: string): readonly Kind[] => {
  const found: Kind[] = [];
  if (/\bCONTAINER\b/.test(words)) found.push('containers');
  if (/\bPOD\b/.test(words)) found.push('pods');
  if (/\bIMAGE\b/.test(words)) found.push('images');
  return found;
};

/** Of `FILE`, `FILE|DIRECTORY`. */
export const isFile = (value: string): boolean => /FILE|DIRECTORY/.test(value);

/** Of `oci|docker`; none where the value is free. */
export const choicesOf = (value: string): readonly string[] =>
  /^[a-z]+(?:\|[a-z]+)+$/.test(value) ? value.split('|') : [];
