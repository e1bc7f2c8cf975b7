import type { InfoResponse, KernelFeature, RuntimeCondition, StuckStep } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import type { Verb } from '../context.ts';
import { age, plain } from '../format.ts';

const pairs = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n');
};

const condition = ({ type, status, reason, message }: RuntimeCondition): readonly [string, string] => [
  type === 'RuntimeReady' ? 'runtime' : type === 'NetworkReady' ? 'network ready' : plain(type),
  status ? 'yes' : plain(`no: ${reason}${message === '' ? '' : ` (${message})`}`),
];

const feature = ({ name, present, fallback }: KernelFeature): readonly [string, string] => [
  `  ${name}`,
  present ? 'yes' : `no${fallback === '' ? '' : `: ${fallback}`}`,
];

const stuck = ({ stage, object, seconds }: StuckStep): readonly [string, string] => [
  'stuck',
  plain(`${stage} for ${seconds} s${object === '' ? '' : `: ${object}`}`),
];

export const infoText = (info: InfoResponse, conditions: readonly RuntimeCondition[], address: string): string =>
  `${pairs([
    ['berthd', `${info.version} (pid ${info.pid}, up ${age(info.started_at)})`],
    ['address', address],
    ['root', info.root],
    ['state', info.state],
    ...conditions.map(condition),
    ['network', plain(info.network)],
    ['kernel', info.kernel],
    ['cgroup', `v${info.cgroup_version}`],
    ['pods', `${info.pods}`],
    ['containers', `${info.containers}`],
    ['images', `${info.images}`],
    ['metrics', info.metrics === '' ? 'not served' : info.metrics],
    ...info.stuck.map(stuck),
    ['kernel features', ''],
    ...info.features.map(feature),
  ])}\n`;

export const info: Verb = {
  name: 'info',
  usage: '',
  summary: 'what the daemon is, where it keeps its things, what the kernel lets it do',
  options: [],
  run: async (argv, { client, out, address }) => {
    parse(argv, {});
    const [answer, { status }] = await Promise.all([client.Info({}), client.Status({})]);
    out.write(infoText(answer, status?.conditions ?? [], address));
    return 0;
  },
};
