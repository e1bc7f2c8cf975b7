import { readdir, readFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { BerthError, orMissing } from '../../base/errors.ts';
import { namesIn } from '../../base/files.ts';

/** A file or link that an installation has. Paths are the machine's own: `--root` is put in front when they are used. */
export type Entry = {
  readonly path: string;
  /** `program`: ours whatever it looks like. `setting`: an operator may have changed it, and then it is his. */
  readonly kind: 'program' | 'setting';
} & (
  | { readonly type: 'copy'; readonly source: string; readonly mode: number }
  | { readonly type: 'text'; readonly text: string; readonly mode: number }
  | { readonly type: 'link'; readonly target: string }
);

export interface Place {
  /** `/usr/local`: programs in PREFIX/lib/berth, commands in PREFIX/bin. */
  readonly prefix: string;
  /** In front of every path; "" for this machine. */
  readonly root: string;
  /** The tree that is installed from. */
  readonly tree: string;
  /** Parts that are left out. */
  readonly without: readonly Part[];
  /** The scripts that complete words, by shell. */
  readonly completions: Readonly<Record<string, string>>;
}

export const parts = ['kubelet', 'crictl', 'kernel'] as const;
export type Part = (typeof parts)[number];

export const libraryOf = ({ prefix }: Pick<Place, 'prefix'>): string => join(prefix, 'lib/berth');

/** systemd and its tools look in these prefixes; for any other what is theirs goes to /etc. */
const settingsOf = (prefix: string): string => (['/usr', '/usr/local'].includes(prefix) ? `${prefix}/lib` : '/etc');
export const unitsOf = ({ prefix }: Pick<Place, 'prefix'>): string => join(settingsOf(prefix), 'systemd/system');

export const entriesOf = async (place: Place): Promise<readonly Entry[]> => [
  ...(await programs(place)),
  ...commands(place),
  ...(await pages(place)),
  ...completions(place),
  ...(await settings(place)),
];

const programs = async (place: Place): Promise<Entry[]> => {
  const { tree } = place;
  const directories = ['bin', 'build/bin', 'build/man', 'build/shim/native', 'systemd', ...(await nodes(tree))];
  const found = await Promise.all(directories.map((directory) => filesIn(join(tree, directory))));
  const sources = [join(tree, 'package.json'), join(tree, 'LICENSE'), ...found.flat()];
  return sources.map((source) => ({
    path: join(libraryOf(place), relative(tree, source)),
    kind: 'program',
    type: 'copy',
    source,
    mode: /\/(bin|native)\/[^/.]+$/.test(source) ? 0o755 : 0o644,
  }));
};

const notNeeded = /\/bin\/setup$|\.inputs$/;

/** Not what is below. */
const filesIn = async (directory: string): Promise<string[]> => {
  const entries = await orMissing(readdir(directory, { withFileTypes: true }));
  if (entries === undefined)
    throw new BerthError('failed-precondition', `${directory} is missing: build the tree first (npm run build)`);
  return entries
    .filter((entry) => entry.isFile())
    .map(({ name }) => join(directory, name))
    .filter((path) => !notNeeded.test(path));
};

/** The Node that npm brought; bin/node takes the machine's own when there is none. */
const nodes = async (tree: string): Promise<string[]> =>
  (await namesIn(join(tree, 'node_modules')))
    .filter((name) => /^node-linux-/.test(name))
    .map((name) => join('node_modules', name, 'bin'));

const commands = (place: Place): Entry[] =>
  ['berth', 'berthd'].map((name) => ({
    path: join(place.prefix, 'bin', name),
    kind: 'program',
    type: 'link',
    target: join('../lib/berth/bin', name),
  }));

/** `berth.1` goes to man1. */
const pages = async ({ tree, prefix }: Place): Promise<Entry[]> =>
  (await namesIn(join(tree, 'build/man')))
    .filter((name) => /\.\d$/.test(name))
    .map((name) => ({
      path: join(prefix, `share/man/man${name.at(-1)}`, name),
      kind: 'program',
      type: 'copy',
      source: join(tree, 'build/man', name),
      mode: 0o644,
    }));

const completionFiles: Readonly<Record<string, string>> = {
  bash: 'bash-completion/completions/berth',
  zsh: 'zsh/site-functions/_berth',
  fish: 'fish/vendor_completions.d/berth.fish',
};

/** Those shells look for a file by the command's own name; zsh reads in the file whose it is. */
const berthdFiles: Readonly<Record<string, string>> = {
  bash: 'bash-completion/completions/berthd',
  fish: 'fish/vendor_completions.d/berthd.fish',
};

const completions = ({ prefix, completions: scripts }: Place): Entry[] =>
  Object.entries(completionFiles).flatMap(([shell, file]): Entry[] => {
    const text = scripts[shell];
    if (text === undefined) return [];
    const other = berthdFiles[shell];
    const link = { kind: 'program', type: 'link', target: basename(file) } as const;
    return [
      { path: join(prefix, 'share', file), kind: 'program', type: 'text', text, mode: 0o644 },
      ...(other === undefined ? [] : [{ path: join(prefix, 'share', other), ...link }]),
    ];
  });

const settings = async (place: Place): Promise<Entry[]> => {
  const units = unitsOf(place);
  const lib = settingsOf(place.prefix);
  const has = (part: Part): boolean => !place.without.includes(part);
  const files: readonly (readonly [source: string, path: string])[] = [
    ...['berth.service', 'berth.socket', 'berth-group.socket', 'berth-pods.service'].map(
      (unit) => [unit, join(units, unit)] as const,
    ),
    ['tmpfiles.conf', join(lib, 'tmpfiles.d/berth.conf')],
    ['sysusers.conf', join(lib, 'sysusers.d/berth.conf')],
    ...(has('kernel')
      ? [
          ['modules-load.conf', join(lib, 'modules-load.d/berth.conf')] as const,
          ['sysctl.conf', join(lib, 'sysctl.d/50-berth.conf')] as const,
        ]
      : []),
    ...(has('kubelet') ? [['kubelet.conf', join(units, 'kubelet.service.d/20-berth.conf')] as const] : []),
    ...(has('crictl') ? [['crictl.yaml', '/etc/crictl.yaml'] as const] : []),
  ];
  const texts = files.map(async ([source, path]): Promise<Entry> => {
    const text = await readFile(join(place.tree, 'systemd', source), 'utf8');
    return { path, kind: 'setting', type: 'text', text: commandsAt(text, place.prefix), mode: 0o644 };
  });
  return [...(await Promise.all(texts)), ...enabled(units)];
};

/** Units name the commands where a package of the distribution would have them. */
const commandsAt = (text: string, prefix: string): string =>
  text.replaceAll(/^(Exec\w+=)\/usr\/bin\/(berthd?)\b/gm, `$1${prefix}/bin/$2`);

/** What `systemctl enable` makes; here it is shown, works without systemd, and goes with the rest. */
const enabled = (units: string): Entry[] =>
  [
    ['multi-user.target.wants', 'berth.service'],
    ['multi-user.target.wants', 'berth-pods.service'],
    ['sockets.target.wants', 'berth.socket'],
  ].map(([wants = '', unit = '']) => ({
    path: join('/etc/systemd/system', wants, unit),
    kind: 'setting',
    type: 'link',
    target: join(units, unit),
  }));
