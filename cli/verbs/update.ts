import type { Input, LinuxContainerResources } from '../../api/generated/types.ts';
import { byteSize, parse, wholeNumber } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';

type Limits = Input<LinuxContainerResources>;

const period = 100_000;

/** "1.5" processors: so much time of each tenth of a second. */
const processors = (text: string): Limits => {
  const count = /^\d{1,4}(?:\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (count < 0.01)
    throw new UsageError(`--cpus: wants a number of processors such as 1.5, not ${JSON.stringify(text)}`);
  return { cpu_quota: Math.round(count * period), cpu_period: period };
};

const orNone = (option: string, text: string, read: (option: string, text: string) => number): number =>
  text === '-1' ? -1 : read(option, text);

const microseconds = (option: string, text: string): number => wholeNumber(option, text, 'microseconds');

/** One an option, in the words of docker update. */
const readers: Readonly<Record<string, (option: string, text: string) => Limits>> = {
  memory: (option, text) => ({ memory_limit_in_bytes: orNone(option, text, byteSize) }),
  'memory-swap': (option, text) => ({ memory_swap_limit_in_bytes: orNone(option, text, byteSize) }),
  cpus: (_, text) => processors(text),
  'cpu-shares': (option, text) => ({ cpu_shares: wholeNumber(option, text, 'shares') }),
  'cpu-quota': (option, text) => ({ cpu_quota: orNone(option, text, microseconds) }),
  'cpu-period': (option, text) => ({ cpu_period: microseconds(option, text) }),
  'cpuset-cpus': (_, text) => ({ cpuset_cpus: text }),
  'cpuset-mems': (_, text) => ({ cpuset_mems: text }),
};

const limitsOf = (values: Readonly<Record<string, string | undefined>>): Limits => {
  if (values.cpus !== undefined && (values['cpu-quota'] ?? values['cpu-period']) !== undefined)
    throw new UsageError('--cpus: means --cpu-quota and --cpu-period: give the one or the others');
  const given = Object.entries(values).flatMap(([name, text]) =>
    text === undefined ? [] : [readers[name]?.(`--${name}`, text)],
  );
  if (given.length === 0) throw new UsageError('wants a limit to change');
  return Object.assign({}, ...given);
};

export const update: Verb = {
  name: 'update',
  usage: '[--memory SIZE] [--cpus NUMBER] [OPTION…] CONTAINER…',
  summary: 'change the limits of containers that are there',
  options: [
    ['-m, --memory SIZE', 'bytes, or such as 512m or 2g; -1 for none'],
    ['--memory-swap SIZE', 'memory and swap together; -1 for no limit of swap'],
    ['--cpus NUMBER', 'processors, such as 1.5'],
    ['-c, --cpu-shares NUMBER', 'weight beside other containers; 1024 is usual'],
    ['--cpu-quota MICROSECONDS', 'time of each period; -1 for no limit'],
    ['--cpu-period MICROSECONDS', 'length of a period'],
    ['--cpuset-cpus LIST', 'processors to run on, such as 0-3,7'],
    ['--cpuset-mems LIST', 'memory nodes to use'],
  ],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, {
      memory: { type: 'string', short: 'm' },
      'memory-swap': { type: 'string' },
      cpus: { type: 'string' },
      'cpu-shares': { type: 'string', short: 'c' },
      'cpu-quota': { type: 'string' },
      'cpu-period': { type: 'string' },
      'cpuset-cpus': { type: 'string' },
      'cpuset-mems': { type: 'string' },
    });
    const linux = limitsOf(values);
    if (positionals.length === 0) throw new UsageError('wants a container');
    const objects = await listObjects(client);
    const targets = positionals.map((word) => [word, findContainer(objects, word)] as const);
    for (const [word, { id }] of targets) {
      await client.UpdateContainerResources({ container_id: id, linux });
      out.write(`${word}\n`);
    }
    return 0;
  },
};
