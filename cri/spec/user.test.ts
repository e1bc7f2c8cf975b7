import { createHash } from 'node:crypto';
import test from 'ava';
import type { SecurityContext } from './types.ts';
import { imageUser, parseUserSpec, resolveUser } from './user.ts';

const passwd = Buffer.from(
  [
    'root:x:0:0:root:/root:/bin/sh',
    'broken line',
    'neg:x:-1:0::/neg:',
    'big:x:4294967295:1::/big:',
    '# comment:x:7:7::/:',
    'web:x:1000:1001:Web:/home/web:/bin/sh',
    'twin:x:1000:1002::/home/twin:',
    '2000:x:77:77::/home/digits:',
    'lone:x:1005:1006',
  ].join('\n'),
);
const group = Buffer.from(
  [
    'root:x:0:',
    'web:x:1001:web',
    'audio:x:29:web,other',
    'bad:x:nan:web',
    'video:x:44:other',
    'extra:x:50:web',
    '',
  ].join('\n'),
);
const accounts = { passwd, group };
const ids = (context: SecurityContext, image = '') => {
  const { uid, gid, groups } = resolveUser(context, image, accounts);
  return [uid, gid, [...groups]];
};

test('a user is looked up by name and number, with or without a group', (t) => {
  t.deepEqual(ids({}), [0, 0, [0]]);
  t.deepEqual(ids({}, 'web'), [1000, 1001, [1001, 29, 50]]);
  t.deepEqual(ids({}, '1000'), [1000, 1001, [1001, 29, 50]]);
  t.deepEqual(ids({}, 'web:video'), [1000, 44, [44, 29, 50]]);
  t.deepEqual(ids({}, '1000:7'), [1000, 7, [7, 29, 50]]);
  t.deepEqual(ids({}, '5555'), [5555, 0, [0]]);
  t.deepEqual(ids({}, 'lone'), [1005, 1006, [1006]]);
});

test('digits alone are a number even where a user has that name', (t) => {
  t.deepEqual(ids({}, '2000'), [2000, 0, [0]]);
});

// CVE-2024-40635, CVE-2026-30892
for (const text of [
  '4294967295',
  '4294967296',
  '-1',
  '+0',
  '99999999999999999999',
  '0x0',
  '1e3',
  ' 0',
  '0 ',
  '',
  ':',
  ':0',
  '0:',
  'a:b:c',
  'root\n',
  'a\0',
  '0\n',
  'ro/ot',
  'a b',
])
  test(`the user spec ${JSON.stringify(text)} is refused`, (t) => {
    const outcome = (): unknown => resolveUser({ run_as_username: text || ':' }, '', accounts);
    t.throws(outcome, { code: 'invalid-argument' });
  });

test('an image user out of range is refused and never root', (t) => {
  t.throws(() => resolveUser({}, '4294967295', accounts), { message: /image User: 4294967295 is not between/ });
  t.throws(() => resolveUser({}, '65536:4294967296', accounts), { code: 'invalid-argument' });
  t.throws(() => resolveUser({ run_as_user: { value: 4294967295n } }, '', accounts), { code: 'invalid-argument' });
  t.throws(() => resolveUser({ run_as_user: { value: -1n } }, '', accounts), { code: 'invalid-argument' });
});

test('a name that the image does not know is an error that names it', (t) => {
  t.throws(() => resolveUser({}, 'nobody', accounts), { message: /user "nobody" is not in/ });
  t.throws(() => resolveUser({}, 'web:nogroup', accounts), { message: /group "nogroup" is not in/ });
  t.throws(() => resolveUser({ run_as_username: 'web' }, '', {}), { message: /user "web"/ });
});

test('a malformed or out of range passwd line is as if it were not there', (t) => {
  t.throws(() => resolveUser({}, 'neg', accounts), { message: /user "neg"/ });
  t.throws(() => resolveUser({}, 'big', accounts), { message: /user "big"/ });
  t.deepEqual(ids({}, '7'), [7, 0, [0]]);
});

test('a passwd file over the limit is refused', (t) => {
  t.throws(() => resolveUser({}, '0', { passwd: Buffer.alloc((4 << 20) + 1, 'a') }), { code: 'failed-precondition' });
});

// CVE-2023-25173: the whole matrix.
const users: readonly (readonly [string, SecurityContext, readonly [number, number, readonly number[]]])[] = [
  ['image web', {}, [1000, 1001, [29, 50]]],
  ['run_as_user', { run_as_user: { value: 1000n } }, [1000, 1001, [29, 50]]],
  ['run_as_user 0', { run_as_user: { value: 0n } }, [0, 0, []]],
  ['run_as_user unknown', { run_as_user: { value: 4321n } }, [4321, 0, []]],
  ['run_as_username', { run_as_username: 'web' }, [1000, 1001, [29, 50]]],
  ['user and group', { run_as_user: { value: 1000n }, run_as_group: { value: 9n } }, [1000, 9, [29, 50]]],
  ['name and group', { run_as_username: 'root', run_as_group: { value: 0n } }, [0, 0, []]],
  [
    'user, group unknown to the image',
    { run_as_user: { value: 4321n }, run_as_group: { value: 4322n } },
    [4321, 4322, []],
  ],
];
for (const [name, context, [uid, gid, member]] of users)
  for (const extra of [[], [5n], [5n, 6n, 5n]])
    for (const policy of ['Merge', 'Strict'] as const)
      test(`groups of ${name} with [${extra}] and ${policy}`, (t) => {
        const asked = { ...context, supplemental_groups: extra, supplemental_groups_policy: policy };
        const image = policy === 'Merge' ? member : [];
        t.deepEqual(ids(asked, 'web:web'), [uid, gid, [...new Set([gid, ...image, ...extra.map(Number)])]]);
      });

test('the groups hold the primary one first and once', (t) => {
  t.deepEqual(
    ids({ run_as_user: { value: 1n }, run_as_group: { value: 5n }, supplemental_groups: [6n, 5n] })[2],
    [5, 6],
  );
});

test('a group without a user is refused, also when the image has a user', (t) => {
  t.throws(() => resolveUser({ run_as_group: { value: 1n } }, 'web', accounts), { message: /run_as_group/ });
});

test('a supplemental group out of range is refused', (t) => {
  t.throws(() => resolveUser({ supplemental_groups: [4294967295n] }, '', accounts), { code: 'invalid-argument' });
});

test('an unknown groups policy is refused', (t) => {
  t.throws(() => resolveUser(JSON.parse('{"supplemental_groups_policy": 7}'), '', accounts), {
    code: 'invalid-argument',
  });
});

test('the home is that of passwd, else /', (t) => {
  t.is(resolveUser({}, 'web', accounts).home, '/home/web');
  t.is(resolveUser({}, '5555', accounts).home, '/');
  t.is(resolveUser({}, 'x', { passwd: Buffer.from('x:x:1:1::/a\rb:\nx:x:2:2::/ok:') }).home, '/ok');
});

test('an image list never fails on an odd user', (t) => {
  t.deepEqual(['', '0', '1000:0', 'web', 'web:x:y', '99999999999'].map(imageUser), [
    0,
    0,
    1000,
    'web',
    'web',
    '99999999999',
  ]);
});

test('the parser never gives a number for what is not plain digits', (t) => {
  const letters = '0123456789+-:x \n.';
  for (let seed = 1; seed < 5000; seed++) {
    const bytes = createHash('sha256')
      .update(String(seed))
      .digest()
      .subarray(0, 1 + (seed % 12));
    const text = [...bytes].map((byte) => letters[byte % letters.length]).join('');
    try {
      const { user } = parseUserSpec(text, 'user');
      if ('id' in user) t.regex(text, /^\d+(:.*)?$/s);
    } catch (error) {
      t.is(error instanceof Error ? error.name : '', 'BerthError');
    }
  }
});
