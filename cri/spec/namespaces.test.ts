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

test('user namespaces are refused by name, the host’s is taken', (t) => {
  t.throws(() => pod({ userns_options: { mode: 'POD' } }), { code: 'unimplemented', message: /userns_options/ });
  t.throws(() => inPod({}, { userns_options: { mode: 'POD' } }), { code: 'unimplemented' });
  for (const mode of ['CONTAINER', 'TARGET'] as const)
    t.throws(() => pod({ userns_options: { mode } }), { code: 'invalid-argument' });
  t.notThrows(() => pod({ userns_options: { mode: 'NODE' } }));
});

test('a pod whose pinned namespace is gone is an error, not the host’s', (t) => {
  t.throws(() => inPod({}, {}, { paths: {} }), { code: 'failed-precondition' });
  t.throws(() => inPod({ pid: 'CONTAINER' }, {}, { paths: { ipc: '/i', uts: '/u' } }), {
    message: /network namespace is gone/,
  });
});
