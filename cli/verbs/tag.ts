import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';

export const tag: Verb = {
  name: 'tag',
  usage: 'IMAGE NAME',
  summary: 'give an image another name',
  options: [],
  run: async (argv, { client, out }) => {
    const [source, target, more] = parse(argv, {}).positionals;
    if (source === undefined || target === undefined || more !== undefined)
      throw new UsageError('wants an image and its new name');
    const { name } = await client.Tag({ source, target });
    out.write(`${name}\n`);
    return 0;
  },
};
