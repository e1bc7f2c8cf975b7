import test from 'ava';
import { allCapabilities, defaultCapabilities } from '../security/capabilities.ts';
import {
  appArmorChoice,
  checkSelinux,
  containerCapabilities,
  hiddenPaths,
  isPrivileged,
  seccompChoice,
} from './security.ts';

test('a missing seccomp message is unconfined, and so is a privileged container', (t) => {
  t.deepEqual(seccompChoice({}), { kind: 'unconfined' });
  t.deepEqual(seccompChoice({ seccomp_profile_path: 'unconfined' }), { kind: 'unconfined' });
  t.deepEqual(seccompChoice({ privileged: true, seccomp: { profile_type: 'RuntimeDefault' } }), { kind: 'unconfined' });
});

test('seccomp profiles are chosen by the message, and by the old path where there is none', (t) => {
  t.deepEqual(seccompChoice({ seccomp: { profile_type: 'RuntimeDefault' } }), { kind: 'runtime-default' });
  t.deepEqual(seccompChoice({ seccomp: {} }), { kind: 'runtime-default' });
  t.deepEqual(seccompChoice({ seccomp_profile_path: 'runtime/default' }), { kind: 'runtime-default' });
  t.deepEqual(seccompChoice({ seccomp_profile_path: 'localhost//p/a.json' }), { kind: 'localhost', path: '/p/a.json' });
  const seccomp = { profile_type: 'Localhost', localhost_ref: '/p/b.json' } as const;
  t.deepEqual(seccompChoice({ seccomp, seccomp_profile_path: 'unconfined' }), { kind: 'localhost', path: '/p/b.json' });
});

for (const context of [
  { seccomp: { profile_type: 'Localhost' } },
  { seccomp: { profile_type: 'Localhost', localhost_ref: 'relative.json' } },
  { seccomp: { profile_type: 'Localhost', localhost_ref: '/p/../../etc/x' } },
  { seccomp: { profile_type: 'Unconfined', localhost_ref: '/p' } },
  { seccomp_profile_path: 'localhost/relative.json' },
  { seccomp_profile_path: 'nonsense' },
] as const)
  test(`the seccomp request ${JSON.stringify(context)} is refused`, (t) => {
    t.throws(() => seccompChoice(context), { code: 'invalid-argument' });
  });

test('an AppArmor profile on a kernel without AppArmor is an error that says so', (t) => {
  const host = { appArmor: false };
  const unconfined = { kind: 'unconfined' } as const;
  t.deepEqual(appArmorChoice({}, host), unconfined);
  t.deepEqual(appArmorChoice({ apparmor: { profile_type: 'Unconfined' } }, host), unconfined);
  t.deepEqual(appArmorChoice({ apparmor_profile: 'unconfined' }, host), unconfined);
  t.throws(() => appArmorChoice({ apparmor: {} }, host), { code: 'failed-precondition', message: /no AppArmor/ });
  t.throws(() => appArmorChoice({ apparmor_profile: 'localhost/x' }, host), {
    message: /"x": this kernel has no AppArmor/,
  });
});

test('AppArmor: the message goes before the old text, and without both the default holds unasked', (t) => {
  const choose = (context: Parameters<typeof appArmorChoice>[0]) => appArmorChoice(context, { appArmor: true });
  t.deepEqual(choose({}), { kind: 'runtime-default', asked: false });
  t.deepEqual(choose({ apparmor: {} }), { kind: 'runtime-default', asked: true });
  t.deepEqual(choose({ apparmor_profile: 'runtime/default' }), { kind: 'runtime-default', asked: true });
  t.deepEqual(choose({ apparmor_profile: 'localhost/a//b' }), { kind: 'localhost', name: 'a//b' });
  const apparmor = { profile_type: 'Localhost', localhost_ref: 'localhost/new' } as const;
  t.deepEqual(choose({ apparmor, apparmor_profile: 'localhost/old' }), { kind: 'localhost', name: 'new' });
  t.deepEqual(choose({ apparmor, privileged: true }), { kind: 'unconfined' });
  const wrong = { profile_type: 'Localhost', localhost_ref: 'a\n' } as const;
  t.throws(() => choose({ apparmor: wrong }), { code: 'invalid-argument', message: /localhost_ref/ });
  t.throws(() => choose({ apparmor: { profile_type: 'Localhost' } }), { message: /without localhost_ref/ });
  t.throws(() => choose({ apparmor_profile: 'nonsense' }), { message: /apparmor_profile: "nonsense"/ });
});

test('an SELinux label without SELinux is told of; where labels are off it is refused', (t) => {
  const [absent, off] = [{ selinux: { kind: 'absent' } }, { selinux: { kind: 'off' } }] as const;
  const on = { selinux: { kind: 'on', contexts: undefined } } as const;
  t.deepEqual(checkSelinux(undefined, absent), []);
  t.deepEqual(checkSelinux({ user: '', level: '' }, off), []);
  t.regex(
    checkSelinux({ type: 'spc_t', level: 's0' }, absent).join(),
    /selinux_options \(type spc_t, level s0\) have no effect/,
  );
  t.throws(() => checkSelinux({ type: 'x_t' }, off), { code: 'failed-precondition', message: /selinux\.enable/ });
  t.deepEqual(checkSelinux({ type: 'x_t' }, on), []);
  for (const { selinux } of [absent, off, on])
    for (const [options, field] of [
      [{ type: 'x\n' }, /selinux_options\.type/],
      [{ user: 'a:b' }, /selinux_options\.user/],
      [{ role: 'a b' }, /selinux_options\.role/],
      [{ level: 's0:c1,' }, /selinux_options\.level/],
    ] as const)
      t.throws(() => checkSelinux(options, { selinux }), { code: 'invalid-argument', message: field });
});

test('a privileged container needs a privileged pod', (t) => {
  t.false(isPrivileged({}, { linux: { security_context: { privileged: true } } }));
  t.true(isPrivileged({ privileged: true }, { linux: { security_context: { privileged: true } } }));
  t.throws(() => isPrivileged({ privileged: true }, {}), { code: 'invalid-argument', message: /privileged/ });
});

// CVE-2022-29162
test('inheritable and ambient are empty unless ambient capabilities are asked for', (t) => {
  const plain = containerCapabilities({ capabilities: { add_capabilities: ['ALL'] } }, false);
  t.deepEqual([plain.inheritable, plain.ambient], [[], []]);
  const ambient = containerCapabilities({ capabilities: { add_ambient_capabilities: ['SYS_TIME'] } }, false);
  t.deepEqual([ambient.inheritable, ambient.ambient], [['CAP_SYS_TIME'], ['CAP_SYS_TIME']]);
  t.true(ambient.bounding.includes('CAP_SYS_TIME'));
});

test('a capability that the daemon lacks is refused by name, and left out of ALL', (t) => {
  const available = ~(1n << 24n); // CAP_SYS_RESOURCE
  const ask = (capabilities: object) => containerCapabilities({ capabilities }, false, available);
  const lacking = { code: 'failed-precondition', message: /CAP_SYS_RESOURCE/ };
  t.throws(() => ask({ add_capabilities: ['sys_resource'] }), lacking);
  t.throws(() => ask({ add_ambient_capabilities: ['SYS_RESOURCE'] }), lacking);
  t.throws(() => ask({ add_capabilities: ['ALL', 'SYS_RESOURCE'] }), lacking);
  t.false(ask({ add_capabilities: ['ALL'] }).bounding.includes('CAP_SYS_RESOURCE'));
  t.deepEqual(ask({ drop_capabilities: ['ALL', 'SYS_RESOURCE'], add_capabilities: ['SYS_RESOURCE'] }).bounding, []);
});

test('a dropped capability is not ambient', (t) => {
  const sets = containerCapabilities(
    { capabilities: { drop_capabilities: ['SYS_TIME'], add_ambient_capabilities: ['SYS_TIME'] } },
    false,
  );
  t.deepEqual([sets.ambient, sets.bounding.includes('CAP_SYS_TIME')], [[], false]);
});

test('bounding, effective and permitted are the same set: the default, or all when privileged', (t) => {
  const sets = containerCapabilities({}, false);
  t.deepEqual([...sets.bounding].sort(), [...defaultCapabilities].sort());
  t.deepEqual([sets.effective, sets.permitted], [sets.bounding, sets.bounding]);
  t.deepEqual(containerCapabilities({}, true).bounding, [...allCapabilities]);
  t.deepEqual(containerCapabilities({}, true, 1n).bounding, ['CAP_CHOWN']);
});

test('masked and read-only paths are the request’s, and a privileged container has none', (t) => {
  t.deepEqual(hiddenPaths(['/proc/kcore/', '/sys//firmware'], false, 'masked_paths'), ['/proc/kcore', '/sys/firmware']);
  t.deepEqual(hiddenPaths(['/proc/kcore'], true, 'masked_paths'), []);
  t.deepEqual(hiddenPaths(undefined, false, 'masked_paths'), []);
  t.throws(() => hiddenPaths(['/a\n'], false, 'masked_paths'), { message: /masked_paths/ });
});
