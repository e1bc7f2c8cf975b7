// The few macros of man(7) that the manual pages need.

/** Text as a line of roff: nothing in it is a request, and hyphens of options can be copied. */
export const line = (text) =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1');

const quoted = (text) => `"${line(text).replaceAll('"', '\\(dq')}"`;

export const title = (name, section, what, version) =>
  `.TH ${name.toUpperCase()} ${section} "" ${quoted(`Berth ${version}`)} ${quoted(what)}\n`;
export const section = (name, ...parts) => `.SH ${quoted(name)}\n${parts.join('')}`;
export const subsection = (name, ...parts) => `.SS ${quoted(name)}\n${parts.join('')}`;
export const paragraph = (text) => `.PP\n${line(text.replaceAll(/\s*\n\s*/g, ' ').trim())}\n`;
/** Without filling: as it stands. */
export const literal = (text) => `.PP\n.nf\n${text.split('\n').map(line).join('\n')}\n.fi\n`;
export const item = (term, text) => `.TP\n.B ${line(term)}\n${line(text) || '\\&'}\n`;
export const name = (program, what) => section('NAME', `${line(program)} \\- ${line(what)}\n`);
