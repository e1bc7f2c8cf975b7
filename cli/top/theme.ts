/** How the terminal may be written to. */
export interface Theme {
  readonly color: boolean;
  /** Block characters for bars and arrows; else ASCII. */
  readonly unicode: boolean;
}

const codes = { bold: '1', dim: '2', reverse: '7', red: '31', green: '32', yellow: '33', cyan: '36' } as const;
export type Style = keyof typeof codes;

/** Reverse and bold are no colours: NO_COLOR leaves them (no-color.org). */
export const painted = (text: string, style: Style | undefined, { color }: Theme): string =>
  style === undefined || (!color && !['bold', 'reverse'].includes(style))
    ? text
    : `\u001b[${codes[style]}m${text}\u001b[0m`;

type Environment = Readonly<Record<string, string | undefined>>;

export const themeOf = ({ NO_COLOR, LC_ALL, LC_CTYPE, LANG }: Environment): Theme => ({
  color: NO_COLOR === undefined || NO_COLOR === '',
  unicode: /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || ''),
});

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** So many columns, filled from the left; a share above one is full, and one that is not nothing can be seen. */
export const barText = (ratio: number, columns: number, { unicode }: Theme): string => {
  const share = Math.min(1, Math.max(0, ratio || 0)); // NaN of a machine that tells no size
  if (!unicode) return '#'.repeat(share === 0 ? 0 : Math.max(1, Math.round(share * columns))).padEnd(columns, '.');
  const parts = share === 0 ? 0 : Math.max(1, Math.round(share * columns * 8));
  const full = Math.floor(parts / 8);
  return `${'█'.repeat(full)}${eighths[parts % 8]}`.padEnd(columns, '·');
};

/** By how near it is to a limit; what has none of its own is in another colour. */
export const barStyle = (ratio: number, ofLimit: boolean): Style =>
  ofLimit ? (ratio >= 0.9 ? 'red' : ratio >= 0.7 ? 'yellow' : 'green') : 'cyan';
