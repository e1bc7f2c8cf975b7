/** East Asian wide and full-width characters, and emoji, take two columns of a terminal (Unicode TR 11). */
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{18aff}\u{1b000}-\u{1b2ff}\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]/u;
const none = /^[\p{Mn}\p{Me}]$/u;

const widthOfOne = (character: string): number => (none.test(character) ? 0 : wide.test(character) ? 2 : 1);

/** Columns that the text takes; it has no control characters (`plain`). */
export const widthOf = (text: string): number => [...text].reduce((sum, one) => sum + widthOfOne(one), 0);

/** Just so many columns: filled up with blanks, or cut, with `…` at the end. */
export const fit = (text: string, columns: number): string => {
  const width = widthOf(text);
  if (width <= columns) return text + ' '.repeat(columns - width);
  let left = columns - 1;
  let cut = '';
  for (const one of text) {
    left -= widthOfOne(one);
    if (left < 0) break;
    cut += one;
  }
  return columns <= 0 ? '' : `${cut}…${' '.repeat(columns - 1 - widthOf(cut))}`;
};

/** The same at the right edge. */
export const fitRight = (text: string, columns: number): string =>
  widthOf(text) <= columns ? ' '.repeat(columns - widthOf(text)) + text : fit(text, columns);
