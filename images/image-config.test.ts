import test from 'ava';
import { sha256 } from '../base/digest.ts';
import { chainIds, parseConfig } from './image-config.ts';

const parse = (value: unknown) => parseConfig(Buffer.from(JSON.stringify(value)), 'config x');
const rootfs = { type: 'layers', diff_ids: [sha256('a'), sha256('b')] };
const base = { os: 'linux', architecture: 'amd64', rootfs };

test('what a config leaves out or sets to null is empty', (t) => {
  const { config, diffIds } = parse({ ...base, config: { Env: null, Volumes: null } });
  t.deepEqual(config, {
    User: '',
    Env: [],
    Entrypoint: [],
    Cmd: [],
    WorkingDir: '',
    Volumes: {},
    StopSignal: '',
    Labels: {},
  });
  t.deepEqual(diffIds, rootfs.diff_ids.map(String) as never);
  t.deepEqual(parse({ ...base, config: null }).config, config);
});

test('a config keeps what the image says', (t) => {
  const config = {
    User: '1:2',
    Env: ['A=b'],
    Cmd: ['c'],
    Volumes: { '/data': {} },
    StopSignal: 'SIGINT',
    Labels: { a: 'b' },
  };
  const parsed = parse({ ...base, config }).config;
  t.like(parsed, config);
});

test('a user that would fill the list of images is refused', (t) => {
  t.is(parse({ ...base, config: { User: 'u'.repeat(1024) } }).config.User?.length, 1024);
  t.throws(() => parse({ ...base, config: { User: 'u'.repeat(1025) } }), {
    message: 'config x: config: User is longer than 1024 characters',
  });
});

test('a label named __proto__ is a label', (t) => {
  const text = JSON.stringify({ ...base, config: {} }).replace('"config":{}', '"config":{"Labels":{"__proto__":"x"}}');
  const { Labels } = parseConfig(Buffer.from(text), 'config x').config;
  t.deepEqual(Object.entries(Labels), [['__proto__', 'x']]);
});

for (const [name, value] of [
  ['an Env that is text', { ...base, config: { Env: 'A=b' } }],
  ['a Cmd with a number', { ...base, config: { Cmd: ['a', 1] } }],
  ['a rootfs of another type', { ...base, rootfs: { ...rootfs, type: 'x' } }],
  ['no rootfs', { ...base, rootfs: undefined }],
  ['a DiffID that is no sha256', { ...base, rootfs: { type: 'layers', diff_ids: [`sha512:${'a'.repeat(128)}`] } }],
  ['a label that is no text', { ...base, config: { Labels: { a: 1 } } }],
] as const)
  test(`${name} is refused`, (t) => {
    t.throws(() => parse(value), { message: /^config x: / });
  });

test('the ChainID of the lowest layer is its DiffID, and each further one depends on all below', (t) => {
  const [a, b, c] = [sha256('a'), sha256('b'), sha256('c')];
  const ab = sha256(`${a} ${b}`);
  t.deepEqual(chainIds([a, b, c]), [a, ab, sha256(`${ab} ${c}`)]);
});
