import type { ConfigChange } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { plain } from '../format.ts';

const line = ({ key, old_value, new_value, needs_restart }: ConfigChange): string =>
  `${plain(`${key}: ${old_value} → ${new_value}`)}${needs_restart ? ' (needs a restart of berthd)' : ''}\n`;

export const reload: Verb = {
  name: 'reload',
  usage: '',
  summary: 'have berthd read its configuration anew, and show what has changed',
  options: [],
  run: async (argv, { client, out }) => {
    if (parse(argv, {}).positionals.length > 0) throw new UsageError('wants no words');
    const { changes } = await client.Reload({});
    out.write(changes.length === 0 ? 'nothing has changed\n' : changes.map(line).join(''));
    return 0;
  },
};
