import test from 'ava';
import { pinning, problemOfPattern } from './pinned.ts';

const hex = 'a'.repeat(64);
const names = [
  'docker.io/library/busybox:latest',
  'docker.io/library/busybox:1.36',
  `docker.io/library/busybox@sha256:${hex}`,
  'docker.io/library/busybox-extra:1',
  'registry.example:5000/a/b:1',
  `registry.example:5000/a/b@sha256:${hex}`,
  'registry.example:5000/a/bb:1',
];
const pinned = (...patterns: string[]) => names.filter(pinning(patterns));

for (const [pattern, which] of [
  ['busybox', [0, 1, 2]],
  ['busybox:1.36', [1]],
  [`busybox@sha256:${hex}`, [2]],
  ['registry.example:5000/a/b', [4, 5]],
  ['registry.example:5000/a/b*', [4, 5, 6]],
  ['registry.example:5000/*', [4, 5, 6]],
  ['*/busybox:*', [0, 1]],
  ['*busybox*', [0, 1, 2, 3]],
  ['*:1', [3, 4, 6]],
  ['busybox*', []],
  ['*', [0, 1, 2, 3, 4, 5, 6]],
  ['**a**b**:1*', [1, 3, 4, 6]],
  ['docker.io/library/busybox:lat*latest', []],
] as const)
  test(`the pattern ${pattern} pins ${which.length} of the names`, (t) => {
    t.deepEqual(
      pinned(pattern),
      which.map((at) => names[at]),
    );
  });

test('one of several patterns is enough, and no pattern pins nothing', (t) => {
  t.deepEqual(pinned('nothing', '*:1.36'), [names[1]]);
  t.deepEqual(pinned(), []);
});

test('a pattern of a thousand stars is matched at once', (t) => {
  t.false(pinning(['*a'.repeat(1000)])('a'.repeat(255)));
});

test('a pattern that no name could match is told', (t) => {
  for (const good of ['busybox', 'a.example/b:1', '*', 'a.example/*', '*/b@sha256:*', '[::1]:5000/*'])
    t.is(problemOfPattern(good), undefined, good);
  for (const bad of ['', 'a b*', 'a/Upper', '*\n', 'a?*', hex]) t.truthy(problemOfPattern(bad), bad);
});
