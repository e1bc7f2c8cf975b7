import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { uninstall as take } from '../install/uninstall.ts';
import { absolute, placeOptions } from './install.ts';

export const uninstall: Verb = {
  name: 'uninstall',
  usage: '[--now] [--force] [--keep-data] [--prefix DIRECTORY] [--root DIRECTORY]',
  summary: 'take the service away with all that it has on this machine',
  options: [
    ['', 'shows what would go: - removed, ! changed by hand and left'],
    ['--now', 'do it; refused while pods run'],
    ['--force', 'end the pods that run'],
    ['--keep-data', 'leave the images and what else survives a reboot'],
    ['--prefix, --root', 'as they were given to install'],
  ],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, {
      ...placeOptions,
      now: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      'keep-data': { type: 'boolean', default: false },
    });
    if (positionals.length > 0) throw new UsageError(`does not know what ${positionals[0]} means`);
    const { now, force, 'keep-data': keepData } = values;
    const root = values.root === '' ? '' : absolute('--root', values.root).replace(/\/$/, '');
    return take({ prefix: absolute('--prefix', values.prefix), root, now, force, keepData }, context);
  },
};
