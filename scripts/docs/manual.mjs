// berthd(8) and berth(1) from the programs' own help, berth.toml(5) from the schema.
import { generalHelp, usageOf } from '../../build/cli/help.js';
import { verbs } from '../../build/cli/verbs/index.js';
import { help } from '../../build/cri/config/arguments.js';
import { toml } from '../../build/cri/config/print.js';
import { keys, tableOf, tables } from '../../build/cri/config/schema.js';
import { version } from '../../build/cri/version.js';
import * as roff from './roff.mjs';
import { limitsOf, typeOf } from './words.mjs';

/** `  left  right` with lines that go on below the right column, as [left, right]. */
const columns = (block) => {
  const rows = [];
  for (const text of block.split('\n')) {
    const [, left, right] = /^ {2,3}(\S.*?) {2,}(\S.*)$/.exec(text) ?? [];
    if (left !== undefined) rows.push([left, right]);
    else if (rows.length > 0 && text.trim() !== '') rows.at(-1)[1] += ` ${text.trim()}`;
  }
  return rows;
};

/** A row without a left side is a sentence of its own. */
const items = (rows) =>
  rows.map(([term, text]) => (term === '' ? roff.paragraph(text) : roff.item(term, text))).join('');

/** The blocks of a help text, which empty lines part. */
const blocks = (text) => text.trim().split(/\n{2,}/);

export const berthd = () => {
  const [first, usage, options, ...rest] = blocks(help);
  return [
    roff.title('berthd', 8, 'Berth', version),
    roff.name('berthd', first.replace(/^berthd: /, '')),
    roff.section('SYNOPSIS', roff.literal(usage.replaceAll(/^(?:usage:)? +/gm, ''))),
    roff.section('OPTIONS', items(columns(options))),
    roff.section('DESCRIPTION', ...rest.map(roff.paragraph)),
    roff.section(
      'FILES',
      items([
        ['/etc/berth/config.toml', 'the configuration; see berth.toml(5)'],
        ['/etc/berth/config.d/*.toml', 'what stands above it'],
        ['/var/lib/berth', 'what survives a reboot: images, writable layers, pods'],
        ['/run/berth', 'namespaces, supervisors, and the socket berth.sock'],
      ]),
    ),
    roff.section(
      'SIGNALS',
      items([
        ['SIGHUP', 'reads the configuration anew'],
        ['SIGTERM, SIGINT', 'ends the daemon; containers run on'],
      ]),
    ),
    roff.section('SEE ALSO', roff.paragraph('berth(1), berth.toml(5)')),
  ].join('');
};

const verb = (one) =>
  roff.subsection(
    one.name,
    roff.literal(usageOf(one).replace('usage: ', '')),
    roff.paragraph(`${one.summary[0].toUpperCase()}${one.summary.slice(1)}.`),
    items(one.options),
  );

export const berth = () => {
  const [first, usage, , ...rest] = blocks(generalHelp());
  const [words, options, codes] = rest;
  return [
    roff.title('berth', 1, 'Berth', version),
    roff.name('berth', first.replace(/^berth: /, '')),
    roff.section('SYNOPSIS', roff.literal(usage.replace('usage: ', ''))),
    roff.section('DESCRIPTION', roff.paragraph(words)),
    roff.section('OPTIONS', items(columns(options))),
    roff.section('VERBS', ...verbs.map(verb)),
    roff.section('EXIT STATUS', roff.paragraph(codes.replace(/^Exit codes: /, ''))),
    roff.section('SEE ALSO', roff.paragraph('berthd(8), berth.toml(5)')),
  ].join('');
};

const key = (one) => {
  const facts = [
    `${typeOf(one)}${one.least === undefined ? '' : `, ${limitsOf(one)}`}`,
    `default ${toml(one.default)}`,
  ];
  const takes = one.reload ? '' : ' A change needs a restart of berthd.';
  return roff.item(one.name, `${one.comment.join(' ')} (${facts.join('; ').replaceAll('`', '')}.)${takes}`);
};

const table = ([name, comment]) =>
  roff.subsection(
    name === '' ? 'At the top' : `[${name}]`,
    comment === '' ? '' : roff.paragraph(comment),
    ...keys.filter((one) => tableOf(one.name) === name).map(key),
  );

export const berthToml = () =>
  [
    roff.title('berth.toml', 5, 'Berth', version),
    roff.name('berth.toml', "berthd's configuration, /etc/berth/config.toml"),
    roff.section(
      'DESCRIPTION',
      roff.paragraph(
        `TOML 1.0. Over the file stands each *.toml of the directory that is called as the file without .toml and with .d
        (/etc/berth/config.d), in the order of their names, and above all files berthd's options. A key that is not known is an error.`,
      ),
      roff.paragraph('berthd config check tells what is wrong, berthd config dump what holds and where it comes from.'),
    ),
    roff.section('KEYS', ...Object.entries(tables).map(table)),
    roff.section('SEE ALSO', roff.paragraph('berthd(8), berth(1)')),
  ].join('');
