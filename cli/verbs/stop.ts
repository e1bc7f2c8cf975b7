import { parse, wholeNumber } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { findTarget, listObjects } from '../find.ts';
import { stopPod } from '../pods.ts';

export const stop: Verb = {
  name: 'stop',
  usage: '[--time SECONDS] POD|CONTAINER…',
  summary: 'end containers, or pods with all that is in them',
  options: [['-t, --time SECONDS', 'grace before the kill (default: 10)']],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, { time: { type: 'string', short: 't', default: '10' } });
    if (positionals.length === 0) throw new UsageError('wants a pod or a container');
    const seconds = wholeNumber('--time', values.time, 'seconds');
    const objects = await listObjects(client);
    const targets = positionals.map((word) => [word, findTarget(objects, word)] as const);
    for (const [word, target] of targets) {
      if (target.kind === 'pod') await stopPod(client, target.pod.id, seconds);
      else await client.StopContainer({ container_id: target.container.id, timeout: seconds });
      out.write(`${word}\n`);
    }
    return 0;
  },
};
