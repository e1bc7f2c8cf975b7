import { duration, parse } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { check } from '../system/check.ts';
import { dfText } from '../system/df.ts';
import { prune } from '../system/prune.ts';

const df = async (argv: readonly string[], { client, out, signal }: Context): Promise<number> => {
  const { values } = parse(argv, { verbose: { type: 'boolean', short: 'v', default: false } });
  out.write(
    dfText(await client.DiskUsage({}, { signal, timeoutMs: 600_000 }), { verbose: values.verbose, bar: out.tty }),
  );
  return 0;
};

const runPrune = (argv: readonly string[], context: Context): Promise<number> => {
  const { values } = parse(argv, {
    'dry-run': { type: 'boolean', default: false },
    yes: { type: 'boolean', short: 'y', default: false },
    'older-than': { type: 'string', default: '0s' },
  });
  const olderThan = BigInt(duration('--older-than', values['older-than']));
  return prune({ dryRun: values['dry-run'], yes: values.yes, olderThan }, context);
};

const runCheck = (argv: readonly string[], context: Context): Promise<number> => {
  const { values } = parse(argv, { repair: { type: 'boolean', default: false } });
  return check(values.repair, context);
};

const actions: Readonly<Record<string, (argv: readonly string[], context: Context) => Promise<number>>> = {
  df,
  prune: runPrune,
  check: runCheck,
};

export const system: Verb = {
  name: 'system',
  usage: 'df [-v] | prune [--dry-run] [--yes] [--older-than 24h] | check [--repair]',
  summary: 'what takes the disk and whose it is; remove images that no container uses; check what is kept',
  options: [
    ['df', 'what takes the disk: layers, blobs, writable layers, logs, what waits to be deleted'],
    ['df -v, --verbose', 'also each image and each container'],
    ['prune', 'remove the images that no container uses and that are not pinned'],
    ['prune --dry-run', 'only tell what would go'],
    ['prune -y, --yes', 'do not ask'],
    ['check', 'read everything that is kept of images and compare it; exit code 1 when something is wrong'],
    ['check --repair', 'also drop what is wrong and not in use; the next pull fetches it'],
    ['prune --older-than AGE', 'leave what got a name in that time: 90s, 30m, 24h, 7d'],
  ],
  run: (argv, context) => {
    const [word = '', ...rest] = argv;
    const action = actions[word];
    if (action === undefined) throw new UsageError(`wants one of ${Object.keys(actions).join(', ')}`);
    return action(rest, context);
  },
};
