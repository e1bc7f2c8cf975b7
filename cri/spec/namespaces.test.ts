import test from 'ava';
import { containerNamespaces, type NamespaceInput, sandboxNamespaces } from './namespaces.ts';
import type { NamespaceOption } from './types.ts';

const pod = (namespace_options: NamespaceOption | undefined) =>
  sandboxNamespaces({ linux: { security_context: { namespace_options } } });
const paths = { network: '/run/netns/a', ipc: '/s/ipc', uts: '/s/uts', pid: '/s/pid' };
const inPod = (
  podOptions: NamespaceOption | undefined,
  options: NamespaceOption | undefined,
  more: Partial<NamespaceInput> = {},
) =>
  containerNamespaces({ pod: pod(podOptions), options, paths, privileged: false, ...more }).map(({ type, path }) =>
    path ? `${type}=${path}` : type,
  );

test('a pod without options has namespaces of its own', (t) => {
  t.deepEqual(sandboxNamespaces({}), { network: 'pod', ipc: 'pod', uts: 'pod', pid: 'pod' });
});

test('a pod on the host’s network uses the host’s UTS', (t) => {
  t.deepEqual(pod({ network: 'NODE', pid: 'CONTAINER' }), {
    network: 'node',
    ipc: 'pod',
    uts: 'node',
    pid: 'container',
  });
  t.deepEqual(inPod({ network: 'NODE', pid: 'CONTAINER' }, undefined), ['pid', 'ipc=/s/ipc', 'mount', 'cgroup']);
});

test('a container without options takes what its pod has', (t) => {
  t.deepEqual(inPod({ pid: 'CONTAINER' }, undefined), [
    'pid',
    'network=/run/netns/a',
    'ipc=/s/ipc',
    'uts=/s/uts',
    'mount',
    'cgroup',
  ]);
  t.deepEqual(inPod({}, undefined)[0], 'pid=/s/pid');
  t.false(inPod({ pid: 'NODE' }, undefined).some((entry) => entry.startsWith('pid')));
});

test('POD for a container is whatever its pod has', (t) => {
  t.deepEqual(inPod({ network: 'NODE', ipc: 'NODE', pid: 'NODE' }, {}), ['mount', 'cgroup']);
  t.is(inPod({ pid: 'CONTAINER' }, { pid: 'POD' })[0], 'pid');
});

test('a container may have a pid namespace of its own in any pod', (t) => {
  t.is(inPod({ pid: 'NODE' }, { pid: 'CONTAINER' })[0], 'pid');
  t.is(inPod({}, { pid: 'CONTAINER' })[0], 'pid');
});

test('a target’s pid namespace is joined, and is an error when the target does not run', (t) => {
  const options = { pid: 'TARGET', target_id: 'abc' } as const;
  t.is(inPod({}, options, { targetPid: '/proc/7/ns/pid' })[0], 'pid=/proc/7/ns/pid');
  t.throws(() => inPod({}, options), { code: 'failed-precondition', message: /abc/ });
  t.throws(() => inPod({}, { pid: 'TARGET' }, { targetPid: '/x' }), { code: 'invalid-argument' });
});

test('a privileged container sees the host’s cgroups', (t) => {
  t.false(inPod({}, {}, { privileged: true }).includes('cgroup'));
});

for (const field of ['network', 'ipc', 'pid'] as const)
  test(`a container cannot take the host’s ${field} in a pod that has its own`, (t) => {
    t.throws(() => inPod({}, { [field]: 'NODE' }), { code: 'invalid-argument', message: new RegExp(field) });
  });

for (const field of ['network', 'ipc'] as const)
  for (const mode of ['CONTAINER', 'TARGET'] as const)
    test(`${mode} is refused for ${field}`, (t) => {
      t.throws(() => pod({ [field]: mode }), { code: 'invalid-argument' });
      t.throws(() => inPod({}, { [field]: mode }), { code: 'invalid-argument' });
    });

test('a pod cannot target, and an unknown mode is refused', (t) => {
  t.throws(() => pod({ pid: 'TARGET' }), { code: 'invalid-argument' });
  t.throws(() => pod(JSON.parse('{"pid": 9}')), { code: 'invalid-argument', message: /9/ });
});

const one = (host_id: number, length = 65536, container_id = 0) => [{ host_id, length, container_id }];
const ownUser = { mode: 'POD', uids: one(1000), gids: one(2000) } as const;

test('a user namespace comes first, and everything that has no path is made in it', (t) => {
  const user = { ...paths, user: '/s/user' };
  const all = ['user=/s/user', 'pid', 'network=/run/netns/a', 'ipc=/s/ipc', 'uts=/s/uts', 'mount', 'cgroup'];
  const options = { pid: 'CONTAINER', userns_options: ownUser } as const;
  t.deepEqual(inPod(options, options, { paths: user }), all);
  t.deepEqual(inPod(options, undefined, { paths: user }), all);
  t.deepEqual(inPod(options, { pid: 'CONTAINER' }, { paths: user }), all, 'a container that names none has its pod’s');
  t.deepEqual(
    inPod(options, options, { paths: user, privileged: true }),
    all,
    'nobody in it may see the host’s cgroups',
  );
  t.throws(() => inPod(options, options), { code: 'failed-precondition', message: /user namespace is gone/ });
});

test('the mapping of a user namespace is taken as it is asked for', (t) => {
  t.deepEqual(pod({ userns_options: ownUser }).user, {
    uids: { containerID: 0, hostID: 1000, size: 65536 },
    gids: { containerID: 0, hostID: 2000, size: 65536 },
  });
  t.is(pod({ userns_options: { mode: 'NODE' } }).user, undefined);
  const last = { ...ownUser, uids: one(2 ** 32 - 11, 10) };
  t.is(pod({ userns_options: last }).user?.uids.size, 10, 'the last id of Linux is 2^32 - 2');
});

for (const [what, userns_options, message] of [
  ['mode CONTAINER', { mode: 'CONTAINER' }, /userns_options\.mode: CONTAINER/],
  ['mode TARGET', { mode: 'TARGET' }, /userns_options\.mode: TARGET/],
  ['mode NODE with mappings', { ...ownUser, mode: 'NODE' }, /mappings with mode NODE/],
  ['no mapping of uids', { ...ownUser, uids: [] }, /uids: mode POD without a mapping/],
  ['no mapping of gids', { ...ownUser, gids: [] }, /gids: mode POD without a mapping/],
  ['two mappings', { ...ownUser, gids: [...one(1), ...one(100_000)] }, /gids: 2 mappings/],
  ['0 not mapped', { ...ownUser, uids: one(1000, 10, 1) }, /uids: container_id is 1.*0 must be mapped/],
  ['no length', { ...ownUser, uids: one(1000, 0) }, /uids: length is 0/],
  [
    'ids past the last one',
    { ...ownUser, gids: one(2 ** 32 - 10, 10) },
    /gids: ids 4294967286 to 4294967295, the last/,
  ],
] as const)
  test(`a user namespace with ${what} is refused`, (t) => {
    t.throws(() => pod({ userns_options }), { code: 'invalid-argument', message });
  });

test('a user namespace with the host’s pid or ipc namespace is refused', (t) => {
  t.throws(() => pod({ pid: 'NODE', userns_options: ownUser }), { code: 'invalid-argument', message: /pid NODE/ });
  t.throws(() => pod({ ipc: 'NODE', userns_options: ownUser }), { code: 'invalid-argument', message: /ipc NODE/ });
  t.is(pod({ network: 'NODE', userns_options: ownUser }).network, 'node', 'with the host’s network it is possible');
});

test('a container that asks for another user namespace than its pod’s is refused', (t) => {
  const other = { ...ownUser, uids: one(1001) };
  const bad = (podUser: NamespaceOption['userns_options'], own: NamespaceOption['userns_options']): void => {
    const call = () => inPod({ userns_options: podUser }, { userns_options: own }, { paths: { ...paths, user: '/u' } });
    t.throws(call, { code: 'invalid-argument', message: /container asks for .*, its pod has / });
  };
  bad(ownUser, other);
  bad(ownUser, { mode: 'NODE' });
  bad({ mode: 'NODE' }, ownUser);
  bad(undefined, ownUser);
});

test('a pod whose pinned namespace is gone is an error, not the host’s', (t) => {
  t.throws(() => inPod({}, {}, { paths: {} }), { code: 'failed-precondition' });
  t.throws(() => inPod({ pid: 'CONTAINER' }, {}, { paths: { ipc: '/i', uts: '/u' } }), {
    message: /network namespace is gone/,
  });
});
