import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { dir } from 'tmp-promise';
import { compileCopy } from '../../shim/compile-copy.ts';
import { openExec } from '../../shim/streams.ts';
import { leavesNothing } from '../harness/leaves-nothing.ts';
import { type Container, Room } from './room.ts';
import { directory, file, hardlink, symlink, tar } from './tar.ts';

leavesNothing();

const run = promisify(execFile);
const sh = async (script: string): Promise<string> => (await run('sh', ['-ec', script])).stdout;

interface Copied {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const copy = async (
  container: Container,
  direction: 'out' | 'in',
  path: string,
  stream: Uint8Array = Buffer.alloc(0),
): Promise<Copied> => {
  const join = container.cgroups.map((cgroup) => `${cgroup}/tasks`);
  const plan = compileCopy({ direction, path, join });
  const wanted = { tty: false, stdin: true, stdout: true, stderr: true };
  const streams = await openExec(container.bundle, plan, wanted);
  streams.stdin?.on('error', () => undefined).end(stream);
  const [stdout, stderr] = await Promise.all([streams.stdout, streams.stderr].map((s) => (s ? buffer(s) : undefined)));
  const { code } = await streams.ended;
  return { code, stdout: stdout ?? Buffer.alloc(0), stderr: stderr?.toString() ?? '' };
};

/** Name, type, mode, owner, size, time in ns and link of all that is there; not of the top itself. */
const treeOf = (path: string): Promise<string> =>
  sh(
    `cd ${path} && find . -mindepth 1 -printf '%P %y %m %U:%G %T@ %l ' -type f -printf '%s ' , -mindepth 1 -printf '\\n' | sort`,
  );

const longName = 'n'.repeat(200);

/** Whatever a tree may have that a header of tar does not hold by itself. */
const fillTree = async (path: string): Promise<void> => {
  await sh(`cd ${path}; mkdir -p tree/deep/${longName} tree/empty; cd tree
    printf hello > deep/file; head -c 300000 /dev/urandom > deep/${longName}/big; : > none
    ln -s /etc/passwd absolute; ln -s ../../../../outside away; ln -s ${'l'.repeat(150)} long; ln -s deep inner
    chmod 4755 none; chown 70000:3000000 deep/file; chmod 0750 deep; chmod 1777 empty
    touch -h -d '1960-01-01 00:00:00.25' none; touch -h -d '2031-02-03 04:05:06.123456789' deep/file inner
    printf 'a b' > 'with blank
and newline'; touch -d '2001-01-01 00:00:00.5' deep empty .`);
};

test('a tree that is copied out is the tree that was in the container, entry for entry', async (t) => {
  await using room = await Room.make();
  const layer = await room.layer(fillTree);
  const container = await room.start(['guest', 'wait'], { layers: [layer] });
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  const { code, stdout, stderr } = await copy(container, 'out', '/tree');
  t.deepEqual([code, stderr], [0, '']);
  await writeFile(join(path, 'copy.tar'), stdout);
  await mkdir(join(path, 'to'));
  await sh(`tar -C ${path}/to -xpf ${path}/copy.tar --numeric-owner`);
  t.is(await treeOf(`${path}/to/tree`), await treeOf(`${layer}/tree`));
  await sh(`diff -r --no-dereference ${path}/to/tree ${layer}/tree`);
  await cleanup();
});

test('a tree that is copied in is the same inside, under the name that was asked for', async (t) => {
  await using room = await Room.make();
  const source = await room.layer(fillTree);
  const container = await room.start(['guest', 'wait'], {
    layers: [await room.layer((path) => mkdir(join(path, 'there')))],
  });
  const stream = (await run('tar', ['-C', source, '--format=pax', '-cf', '-', 'tree'], { encoding: 'buffer' })).stdout;
  t.like(await copy(container, 'in', '/there', stream), { code: 0, stderr: '' });
  t.like(await copy(container, 'in', '/there/renamed', stream), { code: 0, stderr: '' });
  const upper = join(container.bundle, 'upper/there');
  t.is(await treeOf(join(upper, 'tree')), await treeOf(join(source, 'tree')));
  t.is(await treeOf(join(upper, 'renamed')), await treeOf(join(source, 'tree')));
});

test('a fifo is left out and told, and its name says nothing to the terminal', async (t) => {
  await using room = await Room.make();
  const layer = await room.layer((path) =>
    sh(`cd ${path}; mkdir tree; mkfifo "tree/$(printf 'a\\033[2J')"; echo x > tree/file`),
  );
  const container = await room.start(['guest', 'wait'], { layers: [layer] });
  const { code, stdout, stderr } = await copy(container, 'out', '/tree');
  t.deepEqual([code, stdout.includes('tree/file')], [0, true]);
  t.regex(stderr, /^left out \(neither file, directory nor link\): tree\/a\?\[2J: /);
});

test('the content of a tree is copied into a new directory', async (t) => {
  await using room = await Room.make();
  const source = await room.layer(fillTree);
  const container = await room.start(['guest', 'wait']);
  const args = ['-C', join(source, 'tree'), '--format=pax', '-cf', '-', '.'];
  const stream = (await run('tar', args, { encoding: 'buffer' })).stdout;
  t.like(await copy(container, 'in', '/new', stream), { code: 0, stderr: '' });
  t.is(await treeOf(join(container.bundle, 'upper/new')), await treeOf(join(source, 'tree')));
});

test('one file takes the place of another, a directory is not replaced', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  t.like(await copy(container, 'in', '/etc', tar([directory('etc'), file('etc/x', 'one')])), { code: 0 });
  t.like(await copy(container, 'in', '/etc/x', tar([file('y', 'two')])), { code: 0 });
  t.is(await readFile(join(container.bundle, 'upper/etc/x'), 'utf8'), 'two');
  const refused = await copy(container, 'in', '/', tar([file('etc', 'no directory')]));
  t.deepEqual([refused.code, refused.stderr], [1, 'replace a directory: etc: Is a directory\n']);
});

test('what is missing or no place is an error that names it', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  for (const [direction, path] of [
    ['out', '/missing'],
    ['out', '/missing/deeper'],
    ['in', '/missing/deeper/x'],
    ['in', '/missing/'],
  ] as const) {
    const { code, stderr } = await copy(container, direction, path, tar([file('x')]));
    t.is(code, 1);
    t.true(stderr.includes('No such file or directory'), `${direction} ${path}: ${stderr}`);
  }
});

const attacks = [
  ['a name that goes up', [file('../evil')]],
  ['a link and a name through it', [symlink('link', '/etc'), file('link/evil')]],
  ['a link that goes up and a name through it', [symlink('link', '../..'), file('link/evil')]],
  ['a hard link to a file outside', [hardlink('link', '../secret'), file('link', 'changed')]],
  ['a hard link through a link', [symlink('link', '/'), hardlink('hard', 'link/secret')]],
  ['a device', [{ name: 'disk', type: '4', major: 8, minor: 0 }]],
  ['a fifo', [{ name: 'pipe', type: '6' }]],
] as const;

test('a stream changes nothing outside of its place (moby CVE-2018-15664, CVE-2026-41567)', async (t) => {
  await using room = await Room.make();
  const layer = await room.layer((path) => sh(`cd ${path}; mkdir in; mkdir -m 755 etc; printf secret > secret`));
  const container = await room.start(['guest', 'wait'], { layers: [layer] });
  for (const [title, entries] of attacks) {
    t.is((await copy(container, 'in', '/in', tar([...entries]))).code, 1, title);
    await onlyIn(t, container);
  }
  const replaced = [symlink('link', '/etc'), directory('link', { mode: 0o777 })];
  t.is((await copy(container, 'in', '/in', tar(replaced))).code, 0);
  t.is(await sh(`stat -c '%F %a' ${container.bundle}/upper/in/link`), 'directory 777\n');
  await onlyIn(t, container);
});

const onlyIn = async (t: ExecutionContext, container: Container): Promise<void> => {
  const made = await readdir(join(container.bundle, 'upper'));
  t.deepEqual(
    made.filter((name) => !['dev', 'proc', 'sys', 'in'].includes(name)),
    [],
  );
};

test('a path that goes through a link of the container stays in the container (moby CVE-2018-15664)', async (t) => {
  await using room = await Room.make();
  const { path: host, cleanup } = await dir({ unsafeCleanup: true });
  await writeFile(join(host, 'secret'), 'of the host');
  const layer = await room.layer(async (path) => {
    await sh(`ln -s ${host} ${path}/link; ln -s ../../../../../../../..${host} ${path}/up`);
  });
  const container = await room.start(['guest', 'wait'], { layers: [layer] });
  for (const path of ['/link/secret', '/up/secret', '/link/.']) t.is((await copy(container, 'out', path)).code, 1);
  t.is((await copy(container, 'in', '/link/new', tar([file('x', 'evil')]))).code, 1);
  t.deepEqual(await readdir(host), ['secret']);
  await cleanup();
});

test('the process that copies is seen by no process of the container', async (t) => {
  await using room = await Room.make();
  const container = await room.start(['guest', 'wait']);
  const plan = compileCopy({ direction: 'in', path: '/', join: [] });
  const streams = await openExec(container.bundle, plan, { tty: false, stdin: true, stdout: true, stderr: true });
  const seen = (await container.exec(['guest', 'list', '/proc'])).stdout.toString().split(/\s+/);
  t.deepEqual(seen.filter((name) => /^\d+$/.test(name)).length, 2);
  streams.close();
});
