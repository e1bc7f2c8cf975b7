import test from 'ava';
import { checkSelinuxParts, containerLabels, drawLevel, parseContexts } from './selinux.ts';
import { checkRelabel } from './selinux-relabel.ts';

const contexts = { process: 'system_u:system_r:container_t:s0', file: 'system_u:object_r:container_file_t:s0' };
const pod = 's0:c10,c20';

test('the contexts of the policy are found among comments and others', (t) => {
  const text = `# a comment\n\nprocess = "${contexts.process}"\ncontent = "x"\n  file="${contexts.file}"\nro_file="y"\n`;
  t.deepEqual(parseContexts(text), contexts);
  t.is(parseContexts(`process = "${contexts.process}"\n#file = "${contexts.file}"\n`), undefined);
});

test('a container that asks for nothing has the contexts of the policy with the level of its pod', (t) => {
  t.deepEqual(containerLabels(contexts, {}, {}, pod), {
    process: 'system_u:system_r:container_t:s0:c10,c20',
    mount: 'system_u:object_r:container_file_t:s0:c10,c20',
  });
});

test('what is asked for goes into the process; user and level into the files as well', (t) => {
  const all = { user: 'u_u', role: 'r_r', type: 'spc_t', level: 's0:c1.c3' };
  const expected = { process: 'u_u:r_r:spc_t:s0:c1.c3', mount: 'u_u:object_r:container_file_t:s0:c1.c3' };
  t.deepEqual(containerLabels(contexts, {}, all, pod), expected);
  t.deepEqual(containerLabels(contexts, all, {}, pod), expected, 'of the pod');
  const own = containerLabels(contexts, all, { type: 'other_t' }, pod);
  t.is(own?.process, 'system_u:system_r:other_t:s0:c1.c3', 'the container’s, but the level of its pod');
});

test('a policy without contexts for containers: no label, and one that is asked for is refused', (t) => {
  t.is(containerLabels(undefined, {}, {}, pod), undefined);
  t.throws(() => containerLabels(undefined, {}, { type: 'x_t' }, pod), { code: 'failed-precondition' });
});

for (const level of ['s0', 's0-s15', 's0:c1', 's0:c1,c2', 's0-s0:c0.c1023', 's0:c1.c3,c7'])
  test(`the level ${level} is one`, (t) => {
    t.is(checkSelinuxParts({ level }).level, level);
  });
for (const level of ['0', 's0:', 's0:c1,,c2', 's0:c12345', 's0 ', 's0:c1"', 's0:c1\n'])
  test(`the level ${JSON.stringify(level)} is none`, (t) => {
    t.throws(() => checkSelinuxParts({ level }), { code: 'invalid-argument', message: /selinux_options\.level/ });
  });

test('no two pods have the same level', (t) => {
  const taken = new Set<string>();
  for (let pods = 0; pods < 3000; pods += 1) {
    const level = drawLevel(taken);
    t.false(taken.has(level));
    t.is(checkSelinuxParts({ level }).level, level);
    taken.add(level);
  }
});

test('what the node lives from is not given another label', (t) => {
  for (const path of ['/', '//', '/etc/', '/usr', '/usr/lib', '/var/lib', '/proc/1', '/home'])
    t.throws(() => checkRelabel(path), { code: 'invalid-argument', message: /selinux_relabel/ }, path);
  for (const path of ['/var/lib/kubelet/pods/x/volumes/y', '/srv/data', '/etc/app', '/home/user/data'])
    t.notThrows(() => checkRelabel(path), path);
});
