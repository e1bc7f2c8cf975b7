import test from 'ava';
import { parseYaml } from './yaml.ts';

const read = (text: string) => parseYaml(text, 'f');

test('a credential provider configuration is read as its JSON would be', (t) => {
  const text = `---
# comment
apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig # another
providers:
  - name: ecr-credential-provider
    matchImages:
    - "*.dkr.ecr.*.amazonaws.com"
    - '*.dkr.ecr-fips.*.amazonaws.com'
    - registry.io:8080/path
    defaultCacheDuration: "12h"
    args: [get-credentials, "-v=2"]
    env:
      - name: A
        value: "x # y"
  -
    name: b
    empty: {}
    none: []
    nothing:
`;
  t.deepEqual(read(text), {
    apiVersion: 'kubelet.config.k8s.io/v1',
    kind: 'CredentialProviderConfig',
    providers: [
      {
        name: 'ecr-credential-provider',
        matchImages: ['*.dkr.ecr.*.amazonaws.com', '*.dkr.ecr-fips.*.amazonaws.com', 'registry.io:8080/path'],
        defaultCacheDuration: '12h',
        args: ['get-credentials', '-v=2'],
        env: [{ name: 'A', value: 'x # y' }],
      },
      { name: 'b', empty: {}, none: [], nothing: null },
    ],
  });
});

test('a list may stand as deep as its key, and nothing is null', (t) => {
  t.deepEqual(read('a:\n- 1\n- b: 2\n  c: 3\nd: ~\n'), { a: ['1', { b: '2', c: '3' }], d: null });
  t.is(read('# only this\n'), null);
});

test('what is not known is refused with its line', (t) => {
  for (const [text, line] of [
    ['a: &x 1', 1],
    ['a: |\n  text', 1],
    ['a:\n  b: *x', 2],
    ['a: !!str 1', 1],
    ['a: {b: c}', 1],
    ['a: [b, [c]]', 1],
    ['a: 1\na: 2', 2],
    ['a: 1\n b: 2', 2],
    ['\ta: 1', 1],
    ['a: 1\n---\nb: 2', 2],
    ['a: b: c', 1],
    ['a: "x', 1],
    ['a: [x', 1],
    ['*x', 1],
  ] as const)
    t.throws(() => read(text), { message: new RegExp(`^f: line ${line} `) }, text);
});

test('a name of a prototype is a key like any other', (t) => {
  t.deepEqual(Object.keys(read('__proto__: x\n') as object), ['__proto__']);
});

test('a file of 100,000 levels or lines ends in no time', (t) => {
  const begun = process.cpuUsage();
  t.throws(() => read(Array.from({ length: 2000 }, (_, at) => `${' '.repeat(at)}a:`).join('\n')));
  t.throws(() => read('- '.repeat(100_000)));
  const { user, system } = process.cpuUsage(begun);
  t.true(user + system < 4_000_000, `${user + system} µs`);
});
