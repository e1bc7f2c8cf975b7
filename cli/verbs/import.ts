import { resolve } from 'node:path';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';

export const importLayout: Verb = {
  name: 'import',
  usage: 'DIRECTORY [NAME]',
  summary: 'take in the image of an OCI image layout directory',
  options: [],
  run: async (argv, { client, out, signal }) => {
    const [directory, name = '', more] = parse(argv, {}).positionals;
    if (directory === undefined || more !== undefined)
      throw new UsageError('wants a directory, and a name if it has none');
    const { image_ids: ids } = await client.Import({ path: resolve(directory), name }, { signal });
    for (const id of ids) out.write(`${id}\n`);
    return 0;
  },
};
