import test from 'ava';
import type { Place } from './seccomp-conditions.ts';
import { parseSeccompProfile, readSeccompProfile } from './seccomp-profile.ts';

const place = { cpu: 'x64', kernel: '6.8.0-31-generic', capabilities: new Set(['CAP_SYS_ADMIN']) } as const;
const parse = (value: unknown, where: Partial<Place> = {}) =>
  parseSeccompProfile(Buffer.from(JSON.stringify(value)), 'profile p', { ...place, ...where });

test('a profile keeps its actions, conditions and error numbers', (t) => {
  const profile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_X86_64'],
    flags: ['SECCOMP_FILTER_FLAG_TSYNC'],
    syscalls: [
      { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
      { names: ['clone'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, args: [{ index: 0, value: 3, op: 'SCMP_CMP_EQ' }] },
    ],
  };
  t.deepEqual(parse(profile), profile);
});

test('null and a comment are as good as left out', (t) => {
  const syscalls = [{ names: ['chmod'], action: 'SCMP_ACT_ERRNO', args: null, errnoRet: null, comment: 'why' }];
  t.deepEqual(parse({ defaultAction: 'SCMP_ACT_ALLOW', comment: 'x', listenerPath: null, syscalls }), {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: [],
    flags: [],
    syscalls: [{ names: ['chmod'], action: 'SCMP_ACT_ERRNO' }],
  });
});

const allow = 'SCMP_ACT_ALLOW';

// The conditions of Docker's and containers/common's form, each with what makes it hold and what does not.
const conditions: readonly [string, object, Partial<Place>, Partial<Place>][] = [
  [
    'includes.caps',
    { includes: { caps: ['CAP_SYS_ADMIN', 'sys_time'] } },
    { capabilities: new Set(['CAP_SYS_ADMIN', 'CAP_SYS_TIME']) },
    {},
  ],
  ['includes.arches', { includes: { arches: ['arm64', 's390x'] } }, { cpu: 'arm64' }, {}],
  ['includes.minKernel', { includes: { minKernel: '6.8' } }, {}, { kernel: '6.7.12' }],
  ['includes.minKernel of a newer line', { includes: { minKernel: '5.10' } }, {}, { kernel: '5.9.0' }],
  ['excludes.caps', { excludes: { caps: ['CAP_SYS_TIME', 'CAP_SYS_ADMIN'] } }, { capabilities: new Set() }, {}],
  ['excludes.arches', { excludes: { arches: ['amd64'] } }, { cpu: 'arm64' }, {}],
  ['excludes.minKernel', { excludes: { minKernel: '6.8' } }, { kernel: '6.7.0' }, { kernel: '7.0.1' }],
];
for (const [name, more, where, elsewhere] of conditions)
  test(`${name}: the rule is there where it holds, and only there`, (t) => {
    t.is(parse(ruleWith(more), where).syscalls.length, 1);
    t.is(parse(ruleWith(more), elsewhere).syscalls.length, 0);
  });

test('a rule without conditions, or with empty ones, is always there', (t) => {
  t.is(parse(ruleWith({ includes: {}, excludes: null })).syscalls.length, 1);
  t.is(parse(ruleWith({ includes: { caps: [], arches: [], minKernel: '' } })).syscalls.length, 1);
});

test('archMap gives the architectures of this CPU', (t) => {
  const archMap = [
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
  ];
  const all = { defaultAction: allow, archMap };
  t.deepEqual(parse(all).architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
  t.deepEqual(parse(all, { cpu: 'arm64' }).architectures, ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
  t.deepEqual(parse({ ...all, archMap: [] }).architectures, []);
});

test('errno names go before numbers, and an older form names one call a rule', (t) => {
  const profile = { defaultAction: 'SCMP_ACT_ERRNO', defaultErrno: 'ENOSYS', defaultErrnoRet: 1 };
  const syscalls = [{ name: 'kill', action: 'SCMP_ACT_ERRNO', errno: 'EACCES', errnoRet: 1 }];
  t.like(parse({ ...profile, syscalls }), { defaultErrnoRet: 38, syscalls: [{ names: ['kill'], errnoRet: 13 }] });
});

test('a file that is no JSON is refused with the place', (t) => {
  const bytes = Buffer.from('{"defaultAction": "SCMP_ACT_ALLOW",\n}');
  t.throws(() => parseSeccompProfile(bytes, 'profile p', place), {
    message: /profile p: not JSON: .*(?:position|line)/,
  });
});

const ruleWith = (rest: object) => ({ defaultAction: allow, syscalls: [{ names: ['a'], action: allow, ...rest }] });
const wrong: readonly [string, unknown, RegExp][] = [
  ['no object', [], /not a JSON object/],
  ['no default action', { syscalls: [] }, /defaultAction is missing/],
  ['a text for a number', { defaultAction: allow, defaultErrnoRet: '1' }, /defaultErrnoRet is not/],
  ['a rule without names', ruleWith({ names: [] }), /syscalls\[0\]: names is empty/],
  ['a rule without action', ruleWith({ action: '' }), /syscalls\[0\]: action is missing/],
  ['an unknown action', ruleWith({ action: 'SCMP_ACT_X' }), /syscalls\[0\]: action "SCMP_ACT_X" is not supported/],
  ['a notification', ruleWith({ action: 'SCMP_ACT_NOTIFY' }), /syscalls\[0\]: action "SCMP_ACT_NOTIFY".* nobody here/],
  ['an unknown default', { defaultAction: 'ALLOW' }, /defaultAction "ALLOW" is not supported/],
  ['a misspelt condition', ruleWith({ include: { caps: [] } }), /syscalls\[0\]: "include" is not supported/],
  ['an unknown condition', ruleWith({ includes: { cap: [] } }), /syscalls\[0\]: includes: "cap" is not/],
  ['an unknown capability', ruleWith({ excludes: { caps: ['CAP_X'] } }), /syscalls\[0\]: excludes: caps\[0\] "CAP_X"/],
  ['a kernel without a number', ruleWith({ includes: { minKernel: 'new' } }), /includes: minKernel "new"/],
  ['two ways to name calls', ruleWith({ name: 'b' }), /syscalls\[0\]: both name and names/],
  ['an unknown errno', ruleWith({ errno: 'EWHAT' }), /syscalls\[0\]: errno "EWHAT" is not known/],
  ['an unknown comparison', ruleWith({ args: [{ index: 0, value: 1, op: 'EQ' }] }), /args\[0\]: op "EQ" is not/],
  ['a seventh argument', ruleWith({ args: [{ index: 6, value: 1, op: 'SCMP_CMP_EQ' }] }), /args\[0\]: index 6/],
  ['two lists of architectures', { defaultAction: allow, architectures: ['a'], archMap: [{}] }, /both architectures/],
  ['a listener', { defaultAction: allow, listenerPath: '/run/x' }, /"listenerPath" is not supported/],
  [
    'a flag for listeners',
    { defaultAction: allow, flags: ['SECCOMP_FILTER_FLAG_NEW_LISTENER'] },
    /flags\[0\] .*LISTENER/,
  ],
  ['a condition without a value', ruleWith({ args: [{ index: 0, op: 'SCMP_CMP_EQ' }] }), /args\[0\]: value is not/],
  ['a negative value', ruleWith({ args: [{ index: 0, value: -1, op: 'SCMP_CMP_EQ' }] }), /args\[0\]: value is not/],
];
for (const [name, value, message] of wrong)
  test(`${name} is refused, and the error says where`, (t) => {
    t.regex(t.throws(() => parse(value))?.message ?? '', message);
  });

test('a file that is not there, and one that is none, is refused with its path', async (t) => {
  const code = 'invalid-argument';
  t.like(await t.throwsAsync(readSeccompProfile('/does/not/exist.json', place)), { code });
  t.regex((await t.throwsAsync(readSeccompProfile('/dev/zero', place))).message, /\/dev\/zero: not a regular file/);
});
