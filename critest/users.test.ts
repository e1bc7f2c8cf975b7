import test from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { names } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const { busybox, userUid, userName, userUidGid, userNameGroup, userUnknown, userTooLarge, groups } = names;
const daemon = suiteDaemon({
  images: [busybox, userUid, userName, userUidGid, userNameGroup, userUnknown, userTooLarge, groups],
});
type Security = Input<LinuxContainerSecurityContext>;
const int = (value: number): { value: bigint } => ({ value: BigInt(value) });

// image, request, and `uid gid groups` as the process sees them; from the image's passwd and group: www-data 33:33,
// tester 1000:1000 in group members 50000.
const matrix: readonly (readonly [string, string, Security, string])[] = [
  ['nobody says anything', names.busybox, {}, '0 0 0'],
  ['uid of the request, known to passwd', names.busybox, { run_as_user: int(1000) }, '1000 1000 1000,50000'],
  ['uid of the request, unknown to passwd', names.busybox, { run_as_user: int(4242) }, '4242 0 0'],
  ['uid and gid', names.busybox, { run_as_user: int(1000), run_as_group: int(7) }, '1000 7 7,50000'],
  ['name of the request', names.busybox, { run_as_username: 'www-data' }, '33 33 33'],
  ['name and gid', names.busybox, { run_as_username: 'tester', run_as_group: int(8) }, '1000 8 8,50000'],
  [
    'supplemental groups',
    names.busybox,
    { run_as_user: int(1000), supplemental_groups: [5n, 6n] },
    '1000 1000 5,6,1000,50000',
  ],
  [
    'supplemental groups, strict',
    names.busybox,
    { run_as_user: int(1000), supplemental_groups: [5n], supplemental_groups_policy: 'Strict' },
    '1000 1000 5,1000',
  ],
  [
    'strict without groups of the request',
    names.busybox,
    { run_as_user: int(1000), supplemental_groups_policy: 'Strict' },
    '1000 1000 1000',
  ],
  ['uid of the image', names.userUid, {}, '1000 1000 1000,50000'],
  ['name of the image', names.userName, {}, '33 33 33'],
  ['uid and gid of the image', names.userUidGid, {}, '1003 1004 1004'],
  ['name and group of the image', names.userNameGroup, {}, '1000 50000 50000'],
  ["the image's group list", names.groups, {}, '1000 1000 1000,50000'],
  ['request over image', names.userName, { run_as_user: int(0) }, '0 0 0'],
];

const sorted = (groups: string): string =>
  groups
    .split(/[ ,]+/)
    .filter(Boolean)
    .map(Number)
    .sort((a, b) => a - b)
    .join(',');

for (const [title, image, security_context, expected] of matrix)
  test(`containerd 2023-25173: ${title}: ${expected}`, async (t) => {
    const pod = await runPod(daemon());
    const script = 'echo "$(id -u) $(id -g) $(id -G | tr " " ,)"';
    const container = await pod.run(`${script}; ${idle}`, { image: { image }, linux: { security_context } });
    const inExec = (await container.exec(script)).stdout.trim();
    const inInit = await until('the line is in the log', async () => (await container.text()).trim() || undefined);
    const shown = (line: string): string => {
      const [uid, gid, groups = ''] = line.split(' ');
      return `${uid} ${gid} ${sorted(groups)}`;
    };
    t.is(shown(inInit), shown(expected));
    t.is(inExec, inInit);
    const { user } = await container.status();
    const [uid, gid] = expected.split(' ').map(Number);
    t.deepEqual([user?.linux?.uid, user?.linux?.gid], [BigInt(uid ?? 0), BigInt(gid ?? 0)]);
  });

const create = async (image: string, security_context: Security): Promise<unknown> =>
  (await runPod(daemon())).create('true', { image: { image }, linux: { security_context } });

test('a name that passwd does not know is refused and named', async (t) => {
  await fails(t, create(names.busybox, { run_as_username: 'ghost' }), 'invalid-argument', /ghost/);
  await fails(t, create(names.userUnknown, {}), 'invalid-argument', /nobody-has-this-name/);
});

test('containerd 2024-40635: a number out of range is refused, never taken for root or a name', async (t) => {
  await fails(t, create(names.userTooLarge, {}), 'invalid-argument', /4294967296/);
  await fails(t, create(names.busybox, { run_as_username: '4294967296' }), 'invalid-argument', /4294967296/);
  await fails(t, create(names.busybox, { run_as_user: { value: 4294967296n } }), 'invalid-argument', /4294967296/);
  await fails(t, create(names.busybox, { run_as_user: { value: -1n } }), 'invalid-argument', /-1/);
});

test('crun 2026-30892: odd user strings are refused by the one parser', async (t) => {
  for (const run_as_username of ['a:b:c', ':', '1000:', ' 1000', '+1000', '0x10', '1000\n', '-1'])
    await t.throwsAsync(create(names.busybox, { run_as_username }), undefined, JSON.stringify(run_as_username));
});

test('a group without a user is refused', async (t) => {
  await fails(t, create(names.busybox, { run_as_group: int(5) }), 'invalid-argument', /run_as_group/);
});

test("HOME is the user's", async (t) => {
  const pod = await runPod(daemon());
  const home = async (security_context: Security): Promise<string> =>
    (await pod.output('echo $HOME', { linux: { security_context } })).stdout;
  t.is(await home({}), '/root\n');
  t.is(await home({ run_as_user: int(1000) }), '/home/tester\n');
  t.is(await home({ run_as_user: int(4242) }), '/\n');
});
