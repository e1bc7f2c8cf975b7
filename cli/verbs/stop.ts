import { parse, wholeNumber } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { findTarget, listObjects } from '../find.ts';
import { isShuttingDown } from '../install/system.ts';
import { stopPod } from '../pods.ts';
import { stopAll } from '../stop-all.ts';

export const stop: Verb = {
  name: 'stop',
  usage: '[--time SECONDS] POD|CONTAINER… | --all [--at-shutdown]',
  summary: 'end containers, or pods with all that is in them',
  options: [
    [
      '-t, --time SECONDS',
      'grace before the kill (default: 10; with --all what kubelet has noted, else 30, 90 at most)',
    ],
    ['--all', 'all pods with all that is in them'],
    ['--at-shutdown', 'only while systemd shuts the machine down; else nothing is done'],
  ],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, {
      time: { type: 'string', short: 't' },
      all: { type: 'boolean', default: false },
      'at-shutdown': { type: 'boolean', default: false },
    });
    const given = values.time === undefined ? undefined : wholeNumber('--time', values.time, 'seconds');
    if (values['at-shutdown'] && !values.all) throw new UsageError('--at-shutdown goes with --all');
    if (values.all === positionals.length > 0) throw new UsageError('wants a pod or a container, or --all alone');
    if (values['at-shutdown'] && !(await isShuttingDown())) {
      out.write('the machine does not shut down: pods run on\n');
      return 0;
    }
    if (values.all) return stopAll(client, given, out);
    const seconds = given ?? 10;
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
