import test, { type ExecutionContext } from 'ava';
import type { Input, LinuxContainerSecurityContext } from '../api/generated/types.ts';
import { names } from './harness/images.ts';
import { importEntries, link, madeImages } from './harness/made-image.ts';
import { fresh, idle, runPod, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import type { TarEntry } from './harness/tar.ts';
import { until } from './harness/until.ts';

const { busybox, userUid, userName, userUidGid, userNameGroup, userUnknown, userTooLarge, groups } = names;
const daemon = suiteDaemon({
  images: [busybox, userUid, userName, userUidGid, userNameGroup, userUnknown, userTooLarge, groups],
  ignore: madeImages,
});
type Security = Input<LinuxContainerSecurityContext>;
const int = (value: number): { value: bigint } => ({ value: BigInt(value) });

// image, request, and `uid gid groups` as the process sees them; from the image's passwd and group: www-data 33:33,
// tester 1000:1000 in group members 50000.
type Case = readonly [string, string, Security, string];
const matrix: readonly Case[] = [
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

// The same, together in one pod: groups of request and image in every mix.
const mixes: readonly Case[] = [
  ['groups for root', names.busybox, { supplemental_groups: [7n] }, '0 0 0,7'],
  [
    'groups once, also those of passwd',
    names.busybox,
    { run_as_user: int(1000), supplemental_groups: [50000n, 7n, 7n, 1000n] },
    '1000 1000 7,1000,50000',
  ],
  [
    'uid, gid and groups',
    names.busybox,
    { run_as_user: int(1000), run_as_group: int(7), supplemental_groups: [8n] },
    '1000 7 7,8,50000',
  ],
  [
    'uid, gid and groups, strict',
    names.busybox,
    { run_as_user: int(1000), run_as_group: int(7), supplemental_groups: [8n], supplemental_groups_policy: 'Strict' },
    '1000 7 7,8',
  ],
  [
    'name and groups, strict',
    names.busybox,
    { run_as_username: 'tester', supplemental_groups: [8n], supplemental_groups_policy: 'Strict' },
    '1000 1000 8,1000',
  ],
  ['a uid written as a name', names.busybox, { run_as_username: '1000' }, '1000 1000 1000,50000'],
  [
    'uid unknown to passwd, strict',
    names.busybox,
    { run_as_user: int(4242), supplemental_groups: [8n], supplemental_groups_policy: 'Strict' },
    '4242 0 0,8',
  ],
  ["the image's user, strict", names.groups, { supplemental_groups_policy: 'Strict' }, '1000 1000 1000'],
  ["the image's user and groups", names.groups, { supplemental_groups: [8n] }, '1000 1000 8,1000,50000'],
  ["the image's uid and gid, and groups", names.userUidGid, { supplemental_groups: [8n] }, '1003 1004 8,1004'],
  [
    "the image's group of a name, strict",
    names.userNameGroup,
    { supplemental_groups_policy: 'Strict' },
    '1000 50000 50000',
  ],
  [
    'the highest ids',
    names.busybox,
    { run_as_user: int(4294967294), run_as_group: int(4294967294), supplemental_groups: [4294967293n] },
    '4294967294 4294967294 4294967293,4294967294',
  ],
];

const sorted = (groups: string): string =>
  groups
    .split(/[ ,]+/)
    .filter(Boolean)
    .map(Number)
    .sort((a, b) => a - b)
    .join(',');

const namespace_options = { network: 'NODE', pid: 'CONTAINER' } as const;
const quickPod = (): Promise<TestPod> => runPod(daemon(), { linux: { security_context: { namespace_options } } });

/** What init and an exec see of themselves, and what the status tells, is `expected`. */
const check = async (t: ExecutionContext, pod: TestPod, [title, image, context, expected]: Case): Promise<void> => {
  const script = 'echo "$(id -u) $(id -g) $(id -G | tr " " ,)"';
  const container = await pod.run(`${script}; ${idle}`, { image: { image }, linux: { security_context: context } });
  const inExec = (await container.exec(script)).stdout.trim();
  const inInit = await until('the line is in the log', async () => (await container.text()).trim() || undefined);
  const shown = (line: string): string => {
    const [uid, gid, groups = ''] = line.split(' ');
    return `${uid} ${gid} ${sorted(groups)}`;
  };
  t.is(shown(inInit), shown(expected), title);
  t.is(inExec, inInit, title);
  const { user } = await container.status();
  const { uid, gid, supplemental_groups = [] } = user?.linux ?? {};
  t.is(`${uid} ${gid} ${sorted(supplemental_groups.join(','))}`, shown(expected), title);
};

for (const each of matrix)
  test(`containerd 2023-25173: ${each[0]}: ${each[3]}`, async (t) => {
    await check(t, await quickPod(), each);
  });

test('containerd 2023-25173: groups of request and image, by either policy, are in the process and in the status', async (t) => {
  const pod = await quickPod();
  await Promise.all(mixes.map((each) => check(t, pod, each)));
});

const create = async (image: string, security_context: Security): Promise<unknown> =>
  (await quickPod()).create('true', { image: { image }, linux: { security_context } });

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

/** Accounts whose names are numbers, of uid 0: nobody of them may be found by a number. */
const digits = `root:x:0:0:root:/root:/bin/sh
4294967296:x:0:0::/:/bin/sh
4294967295:x:0:0::/:/bin/sh
00000000001:x:0:0::/:/bin/sh
99999999999999999999:x:0:0::/:/bin/sh
-1:x:0:0::/:/bin/sh
1234:x:0:0::/:/bin/sh
`;

test('containerd 2026-46680: a user of digits alone is that number or refused, also where passwd has an account of that name with uid 0', async (t) => {
  const files = [
    { name: 'etc/passwd', data: digits },
    { name: 'etc/group', data: digits.replaceAll(/:0:0:.*/g, ':0:') },
  ];
  const pod = await runPod(daemon());
  for (const text of ['4294967296', '4294967295', '00000000001', '-1'])
    for (const User of [text, `1000:${text}`]) {
      const image = await importEntries(daemon(), fresh('digits'), files, { User });
      await fails(t, pod.create('true', { image: { image } }), 'invalid-argument', /is not between|is not a user/);
      const linux = { security_context: { run_as_username: text } };
      await fails(
        t,
        pod.create('true', { image: { image }, linux }),
        'invalid-argument',
        /is not between|is not a user/,
      );
    }
  for (const [User, uid, gid] of [
    ['1234', 1234, 0],
    ['2147483648:4294967294', 2147483648, 4294967294],
    ['4294967294:1234', 4294967294, 1234],
  ] as const) {
    const image = await importEntries(daemon(), fresh('digits'), files, { User });
    const container = await pod.run(idle, { image: { image } });
    const ids = await daemon().world.sh(`grep -E '^[UG]id' /proc/${await container.pid()}/status`);
    t.is(ids, `Uid:\t${`${uid}\t`.repeat(4).trim()}\nGid:\t${`${gid}\t`.repeat(4).trim()}\n`);
    t.is((await container.exec('id -u')).stdout, `${uid}\n`);
  }
});

test('cri-o 2025-4437: a sparse passwd or group of 10 GB in a layer is not read, and whoever needs it is refused at once', async (t) => {
  const { world } = daemon();
  const before = Number(await world.sh(`awk '/VmHWM/ {print $2}' /proc/${daemon().pid}/status`));
  const pod = await runPod(daemon());
  for (const name of ['passwd', 'group']) {
    const mark = `${fresh('sparse')}:x:0:0::/:\n`;
    const image = await importEntries(daemon(), fresh('sparse'), [{ name: `etc/${name}`, data: mark }]);
    const layer = `grep -l ${mark.split(':')[0]} $(find ${world.path('root/images')} -path '*/etc/${name}')`;
    await world.sh(`truncate -s 10G $(${layer})`);
    const linux = { security_context: { run_as_username: 'somebody' } };
    const started = performance.now();
    await fails(
      t,
      pod.create('true', { image: { image }, linux }),
      'invalid-argument',
      new RegExp(`/etc/${name}: File too large`),
    );
    t.true(performance.now() - started < 20_000);
  }
  const after = Number(await world.sh(`awk '/VmHWM/ {print $2}' /proc/${daemon().pid}/status`));
  t.true(after - before < 32 << 10, `${before} → ${after} KiB`);
});

test('cri-o 2025-4437: a passwd that is a device without end, a fifo, a directory or a link out of the image holds up nobody', async (t) => {
  const pod = await runPod(daemon());
  const linux = { security_context: { run_as_username: 'root' } };
  const kinds: readonly TarEntry[] = [
    { name: 'etc/passwd', type: 'char', major: 1, minor: 5 },
    { name: 'etc/passwd', type: 'fifo' },
    { name: 'etc/passwd/', type: 'directory' },
    link('etc/passwd', '../../../../../../../../../../etc/passwd'),
    link('etc/passwd', '/proc/self/root/etc/passwd'),
    link('etc/passwd', 'passwd'),
  ];
  for (const entry of kinds) {
    const image = await importEntries(daemon(), fresh('passwd'), [entry]);
    const started = performance.now();
    await t.throwsAsync(pod.create('true', { image: { image }, linux }), { message: /passwd/ }, JSON.stringify(entry));
    t.true(performance.now() - started < 20_000, JSON.stringify(entry));
  }
});

test('crun 2026-30892: odd user strings are refused by the one parser', async (t) => {
  for (const run_as_username of ['a:b:c', ':', '1000:', ' 1000', '+1000', '0x10', '1000\n', '-1'])
    await t.throwsAsync(create(names.busybox, { run_as_username }), undefined, JSON.stringify(run_as_username));
});

test('a group without a user is refused', async (t) => {
  await fails(t, create(names.busybox, { run_as_group: int(5) }), 'invalid-argument', /run_as_group/);
});

test('groups out of range, too many of them, and a negative gid are refused and named', async (t) => {
  for (const group of [-1n, 4294967295n, 1n << 40n])
    await fails(t, create(names.busybox, { supplemental_groups: [group] }), 'invalid-argument', /supplemental_groups/);
  const many = Array.from({ length: 65_537 }, (_, index) => BigInt(index));
  await fails(t, create(names.busybox, { supplemental_groups: many }), 'invalid-argument', /65536/);
  await fails(
    t,
    create(names.busybox, { run_as_user: int(1), run_as_group: int(-1) }),
    'invalid-argument',
    /run_as_group/,
  );
});

test("HOME is the user's", async (t) => {
  const pod = await runPod(daemon());
  const home = async (security_context: Security): Promise<string> =>
    (await pod.output('echo $HOME', { linux: { security_context } })).stdout;
  t.is(await home({}), '/root\n');
  t.is(await home({ run_as_user: int(1000) }), '/home/tester\n');
  t.is(await home({ run_as_user: int(4242) }), '/\n');
});
