import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { plain } from '../format.ts';

export const rmi: Verb = {
  name: 'rmi',
  usage: '[--all-names] IMAGE…',
  summary: 'remove names of images, and images with their last name',
  options: [['-a, --all-names', 'the image with all of its names, as the kubelet and crictl remove it']],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, { 'all-names': { type: 'boolean', short: 'a', default: false } });
    if (positionals.length === 0) throw new UsageError('wants an image');
    for (const word of positionals) {
      const image = values['all-names'] ? (await client.Inspect({ image: word })).image_id : word;
      const { names, image_id: id, removed } = await client.Untag({ image });
      for (const name of names) out.write(`untagged ${plain(name)}\n`);
      if (removed) out.write(`removed ${id}\n`);
    }
    return 0;
  },
};
