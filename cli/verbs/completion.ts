import type { Client } from '../../api/client.ts';
import { parse } from '../arguments.ts';
import { bashScript } from '../completion/bash.ts';
import { fishScript } from '../completion/fish.ts';
import { type Command, commandOf } from '../completion/model.ts';
import { zshScript } from '../completion/zsh.ts';
import { UsageError, type Verb } from '../context.ts';
import { listObjects } from '../find.ts';
import { shortId } from '../format.ts';

const scripts: Readonly<Record<string, (commands: readonly Command[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

/** Each shell's script. */
export const completionScripts = (verbs: readonly Verb[]): Readonly<Record<string, string>> => {
  const commands = verbs.map(commandOf);
  return Object.fromEntries(Object.entries(scripts).map(([shell, script]) => [shell, script(commands)]));
};

const podWords = async (client: Client): Promise<readonly string[]> =>
  (await listObjects(client)).pods.flatMap(({ id, metadata }) => [metadata?.name ?? '', shortId(id)]);

const containerWords = async (client: Client): Promise<readonly string[]> => {
  const { pods, containers } = await listObjects(client);
  const podNames = new Map(pods.map(({ id, metadata }) => [id, metadata?.name ?? '']));
  return containers.flatMap(({ id, pod_sandbox_id: pod, metadata }) => [
    `${podNames.get(pod) ?? ''}/${metadata?.name ?? ''}`,
    shortId(id),
  ]);
};

const imageWords = async (client: Client): Promise<readonly string[]> =>
  (await client.ListImages({})).images.flatMap(({ id, repo_tags: tags }) => [...tags, shortId(id)]);

const kinds: Readonly<Record<string, (client: Client) => Promise<readonly string[]>>> = {
  containers: containerWords,
  pods: podWords,
  images: imageWords,
};

/** bash reads words that it completes by as it reads a command line: what it would do something about is left out. */
const isHarmless = (word: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._:@/-]*$/.test(word);

const wordLines = async (kind: string, client: Client): Promise<string> => {
  const list = kinds[kind];
  if (list === undefined) throw new UsageError(`--words: wants one of ${Object.keys(kinds).join(', ')}`);
  const words = [...new Set(await list(client))].filter(isHarmless);
  return words.map((word) => `${word}\n`).join('');
};

/** `verbs`: all of them, with this one. */
export const completion = (verbs: () => readonly Verb[]): Verb => ({
  name: 'completion',
  usage: 'bash|zsh|fish',
  summary: 'print a script that has a shell complete verbs, options, and names of pods, containers and images',
  options: [
    ['bash', 'for a file in /etc/bash_completion.d, or: source <(berth completion bash)'],
    ['zsh', 'for a file _berth in a directory of fpath'],
    ['fish', 'for a file berth.fish in ~/.config/fish/completions'],
    ['--words KIND', 'what such a script asks for: containers, pods or images that are there'],
  ],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, { words: { type: 'string' } });
    if (values.words !== undefined) out.write(await wordLines(values.words, client));
    else {
      const script = scripts[positionals[0] ?? ''];
      if (script === undefined || positionals.length > 1)
        throw new UsageError(`wants one of ${Object.keys(scripts).join(', ')}`);
      out.write(script(verbs().map(commandOf)));
    }
    return 0;
  },
});
