import { BerthError } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { loginHelp, loginOptions, readPassword } from '../password.ts';
import { Progress } from '../progress.ts';

export const push: Verb = {
  name: 'push',
  usage: '[--user NAME --password-stdin] IMAGE [DESTINATION]',
  summary: 'send an image to a registry, digest for digest as it was pulled',
  options: [...loginHelp],
  run: async (argv, { client, out, signal }) => {
    const { values, positionals } = parse(argv, loginOptions);
    const [image, destination = '', more] = positionals;
    if (image === undefined || more !== undefined)
      throw new UsageError('wants one image, and where it goes if not by its own name');
    const password = await readPassword(values);
    const progress = new Progress(out);
    let digest = '';
    let isPart = false;
    try {
      for await (const event of client.Push({ image, destination, username: values.user, password }, { signal })) {
        progress.show(event);
        if (event.manifest_digest !== '') [digest, isPart] = [event.manifest_digest, event.one_platform];
      }
    } finally {
      progress.end();
    }
    if (digest === '') throw new BerthError('internal', `push ${image}: the daemon ended without a digest`);
    if (isPart)
      out.error(
        "berth: of its index only this machine's part is here: the destination has that image, not the index\n",
      );
    out.write(`${digest}\n`);
    return 0;
  },
};
