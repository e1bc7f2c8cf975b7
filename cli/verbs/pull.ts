import { text } from 'node:stream/consumers';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { pullImage } from '../pulling.ts';

const passwordLimit = 1 << 16;

/** Never an argument: others can read those. */
const readPassword = async (): Promise<string> => {
  const given = (await text(process.stdin)).replace(/\r?\n$/, '');
  if (given === '' || given.length > passwordLimit) throw new UsageError('--password-stdin: no password on stdin');
  return given;
};

export const pull: Verb = {
  name: 'pull',
  usage: '[--platform OS/ARCH] [--user NAME --password-stdin] IMAGE',
  summary: 'fetch an image and show how far each layer is',
  options: [
    ['--platform OS/ARCH', "another platform than this machine's"],
    ['-u, --user NAME', 'log in to the registry as NAME'],
    ['--password-stdin', 'read the password from standard input'],
  ],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, {
      platform: { type: 'string', default: '' },
      user: { type: 'string', short: 'u', default: '' },
      'password-stdin': { type: 'boolean', default: false },
    });
    const [image, more] = positionals;
    if (image === undefined || more !== undefined) throw new UsageError('wants one image');
    if ((values.user === '') === values['password-stdin'])
      throw new UsageError('--user and --password-stdin belong together');
    const password = values['password-stdin'] ? await readPassword() : '';
    const id = await pullImage({ image, username: values.user, password, platform: values.platform }, context);
    context.out.write(`${id}\n`);
    return 0;
  },
};
