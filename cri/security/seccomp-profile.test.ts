import test from 'ava';
import { parseSeccompProfile, readSeccompProfile } from './seccomp-profile.ts';

const parse = (value: unknown) => parseSeccompProfile(Buffer.from(JSON.stringify(value)), 'profile p');

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
const ruleWith = (rest: object) => ({ defaultAction: allow, syscalls: [{ names: ['a'], action: allow, ...rest }] });
const wrong: readonly [string, unknown, RegExp][] = [
  ['no object', [], /not a JSON object/],
  ['no default action', { syscalls: [] }, /defaultAction is missing/],
  ['a text for a number', { defaultAction: allow, defaultErrnoRet: '1' }, /defaultErrnoRet is not/],
  ['a rule without names', ruleWith({ names: [] }), /syscalls\[0\]: names is empty/],
  ['a rule without action', ruleWith({ action: '' }), /syscalls\[0\]: action is missing/],
  ["Docker's conditions", ruleWith({ includes: { caps: ['CAP_SYS_ADMIN'] } }), /syscalls\[0\]: "includes" is not/],
  ["Docker's architectures", { defaultAction: allow, archMap: [] }, /"archMap" is not supported/],
  ['a listener', { defaultAction: allow, listenerPath: '/run/x' }, /"listenerPath" is not supported/],
  ['a flag with an effect', { defaultAction: allow, flags: ['SECCOMP_FILTER_FLAG_LOG'] }, /FLAG_LOG" is not supported/],
  ['a condition without a value', ruleWith({ args: [{ index: 0, op: 'SCMP_CMP_EQ' }] }), /args\[0\]: value is not/],
  ['a negative value', ruleWith({ args: [{ index: 0, value: -1, op: 'SCMP_CMP_EQ' }] }), /args\[0\]: value is not/],
];
for (const [name, value, message] of wrong)
  test(`${name} is refused, and the error says where`, (t) => {
    t.regex(t.throws(() => parse(value))?.message ?? '', message);
  });

test('a file that is not there, and one that is none, is refused with its path', async (t) => {
  const code = 'invalid-argument';
  t.like(await t.throwsAsync(readSeccompProfile('/does/not/exist.json')), { code });
  t.regex((await t.throwsAsync(readSeccompProfile('/dev/zero'))).message, /\/dev\/zero: not a regular file/);
});
