import { mkdir, symlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { fresh, idle, runPod, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

// masked_paths, readonly_paths and readonly_rootfs: as given, whatever lies at the path.
const daemon = suiteDaemon();
type Security = Input<LinuxContainerSecurityContext>;

const quickPod = (): Promise<TestPod> =>
  runPod(daemon(), {
    linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } },
  });

/** A volume at /data: `file` and `dir/file` hold "secret", `link`, `dirlink` and `dangling` lead to file, dir and nowhere. */
const volume = async (): Promise<{ readonly container_path: string; readonly host_path: string }> => {
  const host_path = daemon().world.path('logs', fresh('volume'));
  await mkdir(`${host_path}/dir/below`, { recursive: true });
  for (const name of ['file', 'dir/file', 'dir/below/file', 'plain']) await writeFile(`${host_path}/${name}`, 'secret');
  await symlink('file', `${host_path}/link`);
  await symlink('/data/dir', `${host_path}/dirlink`);
  await symlink('/data/nowhere', `${host_path}/dangling`);
  return { container_path: '/data', host_path };
};

/** What a script prints in the container, where an exec prints the same. */
const both = async (script: string, security_context: Security): Promise<string> => {
  const container = await (await quickPod()).create(`${script}; echo end; ${idle}`, {
    mounts: [await volume()],
    linux: { security_context },
  });
  await container.start();
  const { stdout } = await container.exec(script);
  return stdout;
};

const readAll = 'cd /data; for f in $(find . ! -type d | sort); do echo "$f $(cat $f 2>/dev/null)"; done';

test('masked: a file, a directory, a link to either, what is below; missing, dangling and twice is no error', async (t) => {
  const shown = (masked_paths: string[]): Promise<string> => both(readAll, { masked_paths });
  const all = ['./dangling', './dir/below/file', './dir/file', './dirlink', './file', './link', './plain'];
  const expected = (secrets: readonly string[], gone: readonly string[] = []): string =>
    all
      .filter((name) => !gone.includes(name))
      .map((name) => `${name} ${secrets.includes(name) ? 'secret' : ''}\n`)
      .join('');
  const nested = ['./dir/below/file', './dir/file'];
  t.is(await shown([]), expected([...nested, './file', './link', './plain']));
  t.is(await shown(['/data/file', '/data/dir']), expected(['./plain'], nested));
  t.is(await shown(['/data/link', '/data/dirlink']), expected(['./plain'], nested));
  t.is(
    await shown(['/data/dir/below', '/data/dir/below', '/data//dir/./file']),
    expected(['./file', './link', './plain'], ['./dir/below/file']),
  );
  const none = ['/data/missing', '/data/dangling', '/data/dir/missing/too', '/data/file/below', '/nowhere/at/all'];
  t.is(await shown(none), expected([...nested, './file', './link', './plain']));
});

test('what a mask hides cannot be written, opened as a directory, or unmounted without CAP_SYS_ADMIN', async (t) => {
  const script = `(echo x >/data/dir/new) 2>/dev/null && echo wrote below
    ls -A /data/dir | wc -l; umount /data/dir 2>/dev/null && echo unmounted; umount /data/file 2>/dev/null && echo unmounted
    stat -c %F /data/file`;
  t.is(await both(script, { masked_paths: ['/data/dir', '/data/file'] }), '0\ncharacter special file\n');
});

test('read-only: a file, a directory with all below it, what a link leads to; missing and dangling is no error', async (t) => {
  const writes =
    'for f in file plain dir/file dir/below/file dir/new; do (echo x >>/data/$f) 2>/dev/null && echo $f; done; true';
  const written = (readonly_paths: string[]): Promise<string> => both(writes, { readonly_paths });
  t.is(await written([]), 'file\nplain\ndir/file\ndir/below/file\ndir/new\n');
  t.is(await written(['/data/file', '/data/dir']), 'plain\n');
  t.is(await written(['/data/link', '/data/dirlink']), 'plain\n');
  t.is(
    await written(['/data/missing', '/data/dangling', '/data/plain/below']),
    'file\nplain\ndir/file\ndir/below/file\ndir/new\n',
  );
  t.is(await written(['/data']), '');
});

test('read-only takes what is mounted below with it, and leaves it readable', async (t) => {
  const pod = await quickPod();
  const [outer, inner] = [await volume(), await volume()];
  const { stdout } = await pod.output(
    'cat /data/inner/file; (echo x >/data/inner/file) 2>/dev/null || echo " refused"',
    {
      mounts: [outer, { ...inner, container_path: '/data/inner' }],
      linux: { security_context: { readonly_paths: ['/data'] } },
    },
  );
  t.is(stdout, 'secret refused\n');
});

test('without any lists nothing is masked and nothing is read-only but what the mounts say', async (t) => {
  const script = `cut -d' ' -f5 /proc/self/mountinfo | grep -E '^/proc/' ; (: >>/proc/sys/kernel/domainname) 2>/dev/null && echo open`;
  // berth-default refuses it where there is AppArmor
  t.is(await both(script, { apparmor: { profile_type: 'Unconfined' } }), 'open\n');
});

test('a read-only root: no write anywhere in it, volumes and /dev/shm stay as they were', async (t) => {
  const script =
    'for f in /new /etc/new /tmp/new /dev/shm/new /data/new; do (: >$f) 2>/dev/null && echo $f; done; true';
  t.is(await both(script, { readonly_rootfs: true }), '/dev/shm/new\n/data/new\n');
  t.is(await both(script, {}), '/new\n/etc/new\n/tmp/new\n/dev/shm/new\n/data/new\n');
});

test('a path with a control byte is refused, in both lists', async (t) => {
  const pod = await quickPod();
  for (const field of ['masked_paths', 'readonly_paths'] as const) {
    const call = pod.create('true', { linux: { security_context: { [field]: ['/proc/a\nb'] } } });
    await fails(t, call, 'invalid-argument', new RegExp(`${field}: .*control character`));
  }
});
