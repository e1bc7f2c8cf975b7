/** What terminals send for keys without a letter: as xterm, the Linux console and rxvt do. */
const sequences: Readonly<Record<string, string>> = {
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
  '\u001b[5~': 'page-up',
  '\u001b[6~': 'page-down',
  '\u001b[H': 'home',
  '\u001bOH': 'home',
  '\u001b[1~': 'home',
  '\u001b[7~': 'home',
  '\u001b[F': 'end',
  '\u001bOF': 'end',
  '\u001b[4~': 'end',
  '\u001b[8~': 'end',
  '\t': 'tab',
  '\u0003': 'quit',
  '\u0004': 'quit',
  q: 'quit',
  '\u001a': 'suspend',
  '\u000c': 'redraw',
};

/** Keys by their names, letters as they are. A sequence that is not known is one key without a meaning. */
export const keysOf = (text: string): readonly string[] =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what they are
  (text.match(/\u001b(?:\[[0-?]*[ -/]*[@-~]|O[\s\S]|)|[\s\S]/gu) ?? []).map((one) =>
    Object.hasOwn(sequences, one) ? (sequences[one] ?? '') : one.startsWith('\u001b') ? 'unknown' : one,
  );
