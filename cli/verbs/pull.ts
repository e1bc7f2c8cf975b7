import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { loginHelp, loginOptions, readPassword } from '../password.ts';
import { pullImage } from '../pulling.ts';

export const pull: Verb = {
  name: 'pull',
  usage: '[--platform OS/ARCH] [--user NAME --password-stdin] IMAGE',
  summary: 'fetch an image and show how far each layer is',
  options: [['--platform OS/ARCH', "another platform than this machine's"], ...loginHelp],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, {
      platform: { type: 'string', default: '' },
      ...loginOptions,
    });
    const [image, more] = positionals;
    if (image === undefined || more !== undefined) throw new UsageError('wants one image');
    const password = await readPassword(values);
    const id = await pullImage({ image, username: values.user, password, platform: values.platform }, context);
    context.out.write(`${id}\n`);
    return 0;
  },
};
