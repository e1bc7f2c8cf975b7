import { parseArgs } from 'node:util';
import type { Client } from '../../api/client.ts';
import { messageOf } from '../../base/errors.ts';
import type { Output } from '../context.ts';
import { QuickDaemon } from './daemon.ts';
import { makePlace, type Place } from './place.ts';
import { Steps } from './steps.ts';
import { tellStory } from './story.ts';
import { tidy } from './tidy.ts';
import { type Before, countOf, inLines, lookBefore, type Traces, tracesOf } from './traces.ts';

const help = `usage: npm run quickstart [-- --image REF]

Starts berthd in a directory of its own, runs a pod with two containers that talk over localhost, shows what it costs,
takes all of it down and checks that nothing is left. --image pulls REF instead of taking the image that ships with
Berth; registries on localhost are spoken to without TLS.
`;

const out: Output = {
  tty: process.stdout.isTTY,
  columns: process.stdout.columns || 80,
  write: (data) => void process.stdout.write(data),
  error: (data) => void process.stderr.write(data),
};

const localRegistry = (image: string | undefined): string[] => {
  const host = image?.split('/')[0] ?? '';
  return /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/.test(host) ? [host] : [];
};

const main = async (argv: readonly string[]): Promise<number> => {
  const { values } = parseArgs({
    args: [...argv],
    options: { image: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help === true) {
    out.write(help);
    return 0;
  }
  if (process.getuid?.() !== 0) {
    out.error('quickstart: this needs root (namespaces, mounts, cgroups): sudo npm run quickstart\n');
    return 1;
  }
  return play(values.image);
};

const play = async (image: string | undefined): Promise<number> => {
  const started = performance.now();
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
  const before = await lookBefore();
  const place = await makePlace(localRegistry(image));
  const steps = new Steps(out.write, stop.signal);
  steps.say(`Berth quickstart, in ${place.directory}\n`);
  const told = await tell(place, before, steps, image, stop.signal);
  const left = await tracesOf(place, before);
  if (countOf(left) > 0) steps.say(`LEFT:\n${inLines(left)}`);
  else steps.say(`\nNothing is left: ${Object.keys(left).join(', ')}: none.`);
  steps.say(
    `${told && countOf(left) === 0 ? 'Done' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(1)} s.`,
  );
  return told && countOf(left) === 0 ? 0 : 1;
};

/** True when all went well and only what stays by design was there to tidy up. */
const tell = async (
  place: Place,
  before: Before,
  steps: Steps,
  image: string | undefined,
  signal: AbortSignal,
): Promise<boolean> => {
  let daemon: QuickDaemon | undefined;
  let told = false;
  try {
    const running = await steps.run('start berthd', () => QuickDaemon.start(place));
    daemon = running;
    await tellStory({ place, client: running.client, steps, out, signal, image });
    await steps.run('stop berthd', () => running.stop());
    told = await onlyByDesign(place, before);
  } catch (error) {
    out.error(`\nquickstart: ${messageOf(error)}\n`);
    if (daemon !== undefined) out.error(`the daemon's last lines:\n${await daemon.lastLines(15)}\n`);
  }
  if (daemon !== undefined) await withdraw(daemon);
  const errors = await tidy(place, before);
  for (const error of errors) out.error(`quickstart: take down: ${messageOf(error)}\n`);
  return told && errors.length === 0;
};

/** After a failure the daemon still knows best how its pods are taken down; then it ends. */
const withdraw = async (daemon: QuickDaemon): Promise<void> => {
  try {
    if (daemon.running) await removeAll(daemon.client);
  } catch (error) {
    out.error(`quickstart: remove the pods: ${messageOf(error)}\n`);
  }
  await daemon.stop();
};

const removeAll = async (client: Client): Promise<void> => {
  const settings = { timeoutMs: 20_000 };
  const { items } = await client.ListPodSandbox({}, settings);
  for (const { id } of items) {
    await client.StopPodSandbox({ pod_sandbox_id: id }, settings);
    await client.RemovePodSandbox({ pod_sandbox_id: id }, settings);
  }
};

/** The bridge, the plugins' base chains, the pods' parent cgroup and our directory are for the quickstart to remove. */
const onlyByDesign = async (place: Place, before: Before): Promise<boolean> => {
  const traces = await tracesOf(place, before);
  const wrong: Traces = {
    ...traces,
    links: traces.links.filter((name) => name !== place.bridge),
    cgroups: traces.cgroups.filter((path) => !path.endsWith(`/${place.cgroup}`)),
    rules: traces.rules.filter(({ line }) => /\bCNI-[0-9a-f]{16,}/.test(line)),
    directories: [],
  };
  if (countOf(wrong) > 0) out.error(`quickstart: the daemon left:\n${inLines(wrong)}`);
  return countOf(wrong) === 0;
};

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  out.error(`quickstart: ${messageOf(error)}\n`);
  return 2;
});
