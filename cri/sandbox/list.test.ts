import test from 'ava';
import { decode, encode } from '../../api/codec.ts';
import { emptyObjects, type Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { listPodSandbox } from './list.ts';

const id = (letter: string): string => letter.repeat(64);

const sandbox = (letter: string): Sandbox => ({
  id: id(letter),
  key: `default/${letter}/u/0`,
  config: decode('PodSandboxConfig', encode('PodSandboxConfig', { labels: { app: letter } })),
  record: {
    version: 1,
    id: id(letter),
    createdAt: '5',
    config: {},
    runtimeHandler: '',
    state: 'ready',
    netns: '',
    ips: [],
    cgroupParents: [],
  } as unknown as Sandbox['record'],
});

const list = (runtime: Runtime, filter: object) =>
  decode(
    'ListPodSandboxResponse',
    listPodSandbox(runtime, decode('ListPodSandboxRequest', encode('ListPodSandboxRequest', { filter }))).bytes,
  );

test('a list shows a change of state at once, although it keeps its bytes', (t) => {
  const objects = emptyObjects();
  const runtime = objects as unknown as Runtime;
  const one = sandbox('a');
  objects.sandboxes.add(one);
  t.is(list(runtime, {}).items[0]?.state, 'SANDBOX_READY');
  one.record = { ...one.record, state: 'stopped' };
  t.is(list(runtime, {}).items[0]?.state, 'SANDBOX_NOTREADY');
});

test('all parts of a filter must hold', (t) => {
  const objects = emptyObjects();
  const runtime = objects as unknown as Runtime;
  for (const letter of ['a', 'b']) objects.sandboxes.add(sandbox(letter));
  const ids = (filter: object): string[] => list(runtime, filter).items.map((item) => item.id);
  t.deepEqual(ids({}), [id('a'), id('b')]);
  t.deepEqual(ids({ id: 'aa' }), [id('a')]);
  t.deepEqual(ids({ id: 'aa', label_selector: { app: 'b' } }), []);
  t.deepEqual(ids({ label_selector: { app: 'b' } }), [id('b')]);
  t.deepEqual(ids({ label_selector: { constructor: 'b' } }), []);
  t.deepEqual(ids({ state: { state: 'SANDBOX_NOTREADY' } }), []);
});
