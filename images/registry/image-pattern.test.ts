import test from 'ava';
import { bySpecificity, matches, parsePattern } from './image-pattern.ts';

const isFor = (text: string, host: string, repository = 'a/b'): boolean => {
  const pattern = parsePattern(text);
  return pattern !== undefined && matches(pattern, host, repository);
};

test('a host with scheme, path of the API or neither is for that host alone', (t) => {
  for (const text of ['r.example', 'https://r.example', 'http://R.example/', 'https://r.example/v1/', 'r.example/v2/'])
    t.true(isFor(text, 'r.example'), text);
  for (const host of ['x.r.example', 'r.example.evil', 'xr.example', 'example', 'r.example:443'])
    t.false(isFor('r.example', host), host);
});

test('a port has to be the same', (t) => {
  t.true(isFor('r.example:5000', 'r.example:5000'));
  t.false(isFor('r.example:5000', 'r.example'));
  t.false(isFor('r.example:5000', 'r.example:50000'));
  t.true(isFor('[::1]:5000', '[::1]:5000'));
});

test('a path is whole components from the beginning', (t) => {
  t.true(isFor('r.example/a', 'r.example', 'a/b'));
  t.true(isFor('r.example/a/b/', 'r.example', 'a/b'));
  t.false(isFor('r.example/a/b', 'r.example', 'a/bc'));
  t.false(isFor('r.example/a/b/c', 'r.example', 'a/b'));
  t.false(isFor('r.example/b', 'r.example', 'a/b'));
});

test('a star stands for a part of one label of the host', (t) => {
  t.true(isFor('*.dkr.ecr.*.amazonaws.com', '1234.dkr.ecr.us-east-1.amazonaws.com'));
  t.true(isFor('app*.example', 'app7.example'));
  t.false(isFor('*.example', 'a.b.example'));
  t.false(isFor('*', 'a.example'));
  t.false(isFor('a.b*', 'a.cb'));
});

test('the names of Docker Hub are one', (t) => {
  for (const text of ['https://index.docker.io/v1/', 'docker.io', 'registry-1.docker.io', 'index.docker.io'])
    t.true(isFor(text, 'docker.io', 'library/busybox'), text);
  t.true(isFor('docker.io/library', 'docker.io', 'library/busybox'));
});

test('what is no address is no pattern', (t) => {
  for (const text of ['', '/', 'https://', 'a b', 'ftp://x', 'a:b', '[::1', 'a.example:123456'])
    t.is(parsePattern(text), undefined, text);
});

test('the longest path comes first, then the host without a star', (t) => {
  const texts = ['*.example', 'r.example', 'r.example/a/b', '*.example/a', 'r.example/a'];
  const patterns = texts.map(parsePattern).filter((pattern) => pattern !== undefined);
  t.deepEqual(
    patterns.toSorted(bySpecificity).map(({ text }) => text),
    ['r.example/a/b', 'r.example/a', '*.example/a', 'r.example', '*.example'],
  );
});
