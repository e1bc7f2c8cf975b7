import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { BerthError } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { install as put } from '../install/install.ts';
import { type Part, parts } from '../install/layout.ts';
import { completionScripts } from './completion.ts';

/** The tree that this command belongs to: it is one file in build/bin, or a module in build/cli/verbs. */
const tree = [join(import.meta.dirname, '../..'), join(import.meta.dirname, '../../..')].find((directory) =>
  existsSync(join(directory, 'package.json')),
);

export const placeOptions = {
  prefix: { type: 'string', default: '/usr/local' },
  root: { type: 'string', default: '' },
} as const;

export const absolute = (option: string, path: string): string => {
  if (!isAbsolute(path)) throw new UsageError(`${option}: wants an absolute path, not ${JSON.stringify(path)}`);
  return resolve(path);
};

/** It stands in units and scripts, where systemd reads blanks, quotes, "%" and "$" its own way. */
const plainPrefix = (path: string): string => {
  if (!/^[\w/.+@-]+$/.test(path))
    throw new UsageError(`--prefix: wants a path of letters, digits and "_.+@-", not ${JSON.stringify(path)}`);
  return absolute('--prefix', path);
};

const partsOf = (text: string | undefined): readonly Part[] => {
  const names = text === undefined ? [] : text.split(',');
  return names.map((name) => {
    const part = parts.find((candidate) => candidate === name);
    if (part === undefined)
      throw new UsageError(`--without: wants some of ${parts.join(',')}, not ${JSON.stringify(name)}`);
    return part;
  });
};

/** `verbs`: all of them, with this one. */
export const install = (verbs: () => readonly Verb[]): Verb => ({
  name: 'install',
  usage: '[--now] [--prefix DIRECTORY] [--root DIRECTORY] [--without kubelet,crictl,kernel] [-v]',
  summary: 'make Berth a service of this machine, under systemd',
  options: [
    ['', 'shows each file: + new, ~ changed, = as it is, ! changed by hand and left, x foreign and refused, - removed'],
    ['--now', 'do it, and start the service'],
    ['--prefix DIRECTORY', 'programs in DIRECTORY/lib/berth, commands in DIRECTORY/bin (default: /usr/local)'],
    ['--root DIRECTORY', 'put the files below DIRECTORY and start nothing: for images of machines'],
    [
      '--without PARTS',
      'leave out kubelet (its drop-in), crictl (crictl.yaml), kernel (modules and sysctls that kubeadm wants)',
    ],
    ['-v, --verbose', 'each file of the programs, too'],
  ],
  run: async (argv, { out }) => {
    const { values, positionals } = parse(argv, {
      ...placeOptions,
      now: { type: 'boolean', default: false },
      without: { type: 'string' },
      verbose: { type: 'boolean', short: 'v', default: false },
    });
    if (positionals.length > 0) throw new UsageError(`does not know what ${positionals[0]} means`);
    if (tree === undefined) throw new BerthError('internal', 'package.json is not found: the tree is not whole');
    const { now, verbose } = values;
    const prefix = plainPrefix(values.prefix);
    const root = values.root === '' ? '' : absolute('--root', values.root).replace(/\/$/, '');
    const without = partsOf(values.without);
    return put({ prefix, root, tree, without, completions: completionScripts(verbs()), now, verbose }, out);
  },
});
