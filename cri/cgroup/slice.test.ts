import test from 'ava';
import { cgroupParent } from './parent.ts';
import { pathOfSlice } from './slice.ts';

test('each dash of a slice’s name is a directory above it, as systemd has it', (t) => {
  t.is(pathOfSlice('kubepods.slice'), '/kubepods.slice');
  t.is(
    pathOfSlice('kubepods-burstable-pod1_2.slice'),
    '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice',
  );
  t.is(pathOfSlice(`${'a'.repeat(249)}.slice`), `/${'a'.repeat(249)}.slice`);
  t.is(pathOfSlice('x\\x2dy.slice'), '/x\\x2dy.slice');
});

test('what systemd would call otherwise is no slice, and neither is one whose path the kernel could not have', (t) => {
  const refused = [
    '-.slice',
    'a-.slice',
    '-a.slice',
    'a--b.slice',
    '.slice',
    'a b.slice',
    'é.slice',
    'a.scope',
    '_.slice',
  ];
  for (const name of [...refused, `${'a'.repeat(250)}.slice`])
    t.throws(
      () => pathOfSlice(name),
      { code: 'invalid-argument', message: /is not the name of a systemd slice/ },
      name,
    );
  t.notThrows(() => pathOfSlice(`${'b-'.repeat(40)}c.slice`));
  t.throws(() => pathOfSlice(`${'b-'.repeat(120)}c.slice`), {
    code: 'invalid-argument',
    message: /^cgroup_parent: b-b-\S+… is 121 slices deep: its path has \d+ bytes, 3800 are allowed$/,
  });
});

test('a parent of pods is refused at once where their containers could not be made', (t) => {
  const settings = { driver: 'systemd', parent: 'berth.slice' } as const;
  for (const name of ['a@b.slice', 'a:b.slice'])
    t.throws(() => cgroupParent(name, settings), { code: 'invalid-argument', message: /no "@" and no ":"/ }, name);
  t.is(cgroupParent('a.b.slice', settings), '/a.b.slice');
  t.is(cgroupParent(undefined, settings), '/berth.slice');
});
