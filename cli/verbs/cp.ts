import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { PassThrough } from 'node:stream';
import { BerthError, messageOf, orMissing } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';
import { plain } from '../format.ts';
import { runSession } from '../stream/session.ts';
import type { Terminal } from '../stream/terminal.ts';

interface Place {
  readonly container: string | undefined;
  readonly path: string;
}

interface Copy {
  readonly container: string;
  /** As it was called. */
  readonly name: string;
  /** In the container. */
  readonly inside: string;
  /** Here; `-` is a tar stream. */
  readonly here: string;
  /** Owners are kept. */
  readonly archive: boolean;
}

export const cp: Verb = {
  name: 'cp',
  usage: '[--archive] CONTAINER:PATH PATH|-  or  PATH|- CONTAINER:PATH',
  summary: 'copy files and trees out of a running container, or into it',
  options: [['-a, --archive', 'keep owners, setuid and setgid (default: yours here, root inside)']],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, { archive: { type: 'boolean', short: 'a', default: false } });
    const [from, to] = positionals.map(placeOf);
    if (from === undefined || to === undefined || positionals.length > 2) throw new UsageError('wants two places');
    if ((from.container === undefined) === (to.container === undefined))
      throw new UsageError('one place is in a container (CONTAINER:PATH), the other is here');
    const [inside, here] = from.container === undefined ? [to, from] : [from, to];
    const name = inside.container ?? '';
    const { id } = findContainer(await listObjects(context.client), name);
    const copy = { container: id, name, inside: inside.path, here: here.path, archive: values.archive };
    return inside === from ? copyOut(context, copy) : copyIn(context, copy);
  },
};

/** As docker has it: a name that begins with a dot or a slash is here, whatever colons follow. */
const placeOf = (text: string): Place => {
  const colon = text.indexOf(':');
  if (colon < 0 || /^[./]/.test(text)) return { container: undefined, path: text };
  if (colon === 0 || colon === text.length - 1) throw new UsageError(`${JSON.stringify(text)}: wants CONTAINER:PATH`);
  return { container: text.slice(0, colon), path: text.slice(colon + 1) };
};

const copyIn = async (context: Context, copy: Copy): Promise<number> => {
  if (copy.here === '-') return session(context, copy, 'COPY_IN', context.terminal);
  if ((await orMissing(lstat(copy.here))) === undefined)
    throw new BerthError('not-found', `${copy.here}: there is no such file or directory`);
  const whole = /(^|\/)\.\.?$/.test(copy.here);
  const [directory, name] = whole ? [copy.here, '.'] : [dirname(resolve(copy.here)), `./${basename(copy.here)}`];
  const owners = copy.archive ? ['--numeric-owner'] : ['--owner=0', '--group=0', '--numeric-owner', '--mode=ug-s'];
  const tar = spawnTar(['-C', directory, '--format=pax', ...owners, '-cf', '-', '--', name], ['ignore', 'pipe']);
  // Node throws away what nobody reads when a child ends, and the session takes its time to open.
  const stdin = new PassThrough();
  tar.stdout?.pipe(stdin);
  const code = await session(context, copy, 'COPY_IN', { ...context.terminal, stdin });
  return (await tarEnded(tar)) || code;
};

const copyOut = async (context: Context, copy: Copy): Promise<number> => {
  if (copy.here === '-') return session(context, copy, 'COPY_OUT', context.terminal);
  const target = resolve(copy.here);
  if ((await orMissing(stat(target)))?.isDirectory() === true) return unpack(context, copy, target);
  const parent = await orMissing(stat(dirname(target)));
  if (parent?.isDirectory() !== true || copy.here.endsWith('/'))
    throw new BerthError('not-found', `${copy.here}: there is no such directory`);
  return unpackAs(context, copy, target);
};

/** Beside its place first, so that it gets its new name when it is whole. */
const unpackAs = async (context: Context, copy: Copy, target: string): Promise<number> => {
  const making = await mkdtemp(join(dirname(target), '.berth-cp-'));
  try {
    const code = await unpack(context, copy, making);
    const name = basename(copy.inside);
    const whole = name === '.' || name === '' || name === '..';
    if (code === 0) await rename(whole ? making : join(making, name), target);
    return code;
  } finally {
    await rm(making, { recursive: true, force: true });
  }
};

const unpack = async (context: Context, copy: Copy, directory: string): Promise<number> => {
  // A program that is to run as its owner would run as whoever copies: without owners, setuid and setgid do not come along.
  const owners = copy.archive
    ? ['--numeric-owner', '--same-owner', '--same-permissions']
    : ['--no-same-owner', '--no-same-permissions'];
  const tar = spawnTar(['-C', directory, ...owners, '-xf', '-'], ['pipe', 'inherit']);
  const stdout = tar.stdin ?? new PassThrough();
  // Its end tells what was wrong with it.
  stdout.on('error', () => undefined);
  const code = await session(context, copy, 'COPY_OUT', { ...context.terminal, stdout });
  // A broken stream is told already; tar would only add that it is none.
  if (code === 0) stdout.end();
  else tar.kill();
  return (await tarEnded(tar)) || code;
};

const spawnTar = (args: readonly string[], [stdin, stdout]: readonly ['ignore' | 'pipe', 'inherit' | 'pipe']) => {
  const tar = spawn('tar', args, { stdio: [stdin, stdout, 'inherit'] });
  tar.on('error', () => undefined);
  return tar;
};

const tarEnded = async (tar: ChildProcess): Promise<number> => {
  if (tar.pid === undefined) throw new BerthError('failed-precondition', 'tar: cannot be started; is it installed?');
  if (tar.exitCode === null && tar.signalCode === null)
    await once(tar, 'exit').catch((error: unknown) => {
      throw new BerthError('internal', `tar: ${messageOf(error)}`);
    });
  return tar.exitCode ?? 1;
};

/** Pieces of what went wrong; there are few. */
const mostSaid = 100;

const session = async (
  { client, out, signal }: Context,
  { container, name, inside }: Copy,
  direction: 'COPY_IN' | 'COPY_OUT',
  terminal: Terminal,
): Promise<number> => {
  const { url } = await client.Copy({ container_id: container, path: inside, direction }, { signal });
  const said: Buffer[] = [];
  const stderr = new PassThrough().on('data', (data: Buffer) => {
    if (said.length < mostSaid) said.push(data);
  });
  const shown = { ...terminal, stderr };
  try {
    return await runSession(client, url, { terminal: shown, stdin: direction === 'COPY_IN', tty: false, signal });
  } finally {
    const lines = Buffer.concat(said).toString().split('\n').filter(Boolean);
    for (const line of lines) out.error(`berth cp: ${name}:${inside}: ${plain(line)}\n`);
  }
};
