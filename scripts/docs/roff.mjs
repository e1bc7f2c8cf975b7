// The few macros of man(7) that the manual pages need.

/** Text as a line of roff: nothing in it is a request, hyphens of options can be copied, and groff alone reads no UTF-8. */
export const line = (text) =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(
      /[^\p{ASCII}]/gu,
      (letter) => `\\[u${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}]`,
    )
    .replace(/^([.'])/, '\\&$1');

/** Filled by man: broken where mandoc's lint wants it. */
const filled = (text) => {
  const lines = [''];
  for (const word of text.split(/\s+/).filter(Boolean))
    if (`${lines.at(-1)} ${word}`.length > 76) lines.push(word);
    else lines.push(`${lines.pop()} ${word}`.trim());
  return lines.map(line).join('\n');
};

/** Of the pages; to be set with the version. */
const date = '2026-11-22';

const quoted = (text) => `"${line(text).replaceAll('"', '\\(dq')}"`;

export const title = (name, section, what, version) =>
  `.TH ${name.toUpperCase()} ${section} "${date}" ${quoted(`Berth ${version}`)} ${quoted(what)}\n`;
/** A heading is a paragraph's beginning by itself. */
const under = (parts) => parts.join('').replace(/^\.PP\n/, '');
export const section = (name, ...parts) => `.SH ${quoted(name)}\n${under(parts)}`;
export const subsection = (name, ...parts) => `.SS ${quoted(name)}\n${under(parts)}`;
export const paragraph = (text) => `.PP\n${filled(text)}\n`;
/** Without filling: as it stands. */
export const literal = (text) => `.PP\n.nf\n${text.split('\n').map(line).join('\n')}\n.fi\n`;
export const item = (term, text) => `.TP\n.B ${line(term)}\n${filled(text) || '\\&'}\n`;
export const name = (program, what) => section('NAME', `${line(program)} \\- ${line(what)}\n`);
