import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { decode, encode } from './codec.ts';
import { encodeItem, joinItems } from './encoded.ts';
import { fromJson, toGoJson, toJson } from './json.ts';

const codeAndMessage = (action: () => unknown): string => {
  try {
    action();
  } catch (error) {
    return error instanceof BerthError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'no error';
};

test('a nanosecond timestamp keeps its last digit', (t) => {
  const created = 1_763_785_963_123_456_789n;
  t.is(decode('Container', encode('Container', { created_at: created })).created_at, created);
});

test('a 64-bit field takes a number as well', (t) => {
  t.is(decode('LinuxContainerResources', encode('LinuxContainerResources', { cpu_quota: -1 })).cpu_quota, -1n);
});

test('the largest and the smallest 64-bit numbers survive', (t) => {
  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 0n])
    t.is(decode('Int64Value', encode('Int64Value', { value })).value, value);
  t.is(decode('UInt64Value', encode('UInt64Value', { value: 2n ** 64n - 1n })).value, 2n ** 64n - 1n);
});

test('what is missing has its default, a missing message is undefined', (t) => {
  const config = decode('ContainerConfig', Buffer.alloc(0));
  t.is(config.metadata, undefined);
  t.is(config.linux, undefined);
  t.is(config.log_path, '');
  t.is(config.stop_signal, 'SIGNAL_RUNTIME_DEFAULT');
  t.deepEqual(config.mounts, []);
  t.deepEqual(config.labels, {});
});

test('an environment value is bytes: it need not be UTF-8', (t) => {
  const value = Buffer.from([0x66, 0xff, 0x00, 0x80]);
  const { envs } = decode('ContainerConfig', encode('ContainerConfig', { envs: [{ key: 'RAW', value }] }));
  t.deepEqual(Buffer.from(envs[0]?.value ?? []), value);
});

test('a decoded bytes field does not share memory with the request', (t) => {
  const request = encode('KeyValue', { key: 'k', value: Buffer.from('abc') });
  const { value } = decode('KeyValue', request);
  request.fill(0);
  t.is(Buffer.from(value).toString(), 'abc');
});

test('an enum value that is not known is refused with its field', (t) => {
  const bytes = Buffer.from([0x08, 0x63]);
  t.regex(
    codeAndMessage(() => decode('SecurityProfile', bytes)),
    /^invalid-argument: .*SecurityProfile\.profile_type: 99 is no value of SecurityProfile_ProfileType/,
  );
});

test('a string that is not UTF-8 is refused, U+FFFD itself is not', (t) => {
  const bad = Buffer.from([0x0a, 0x02, 0x2f, 0xff]);
  t.regex(
    codeAndMessage(() => decode('Mount', bad)),
    /^invalid-argument: .*Mount\.container_path: not UTF-8/,
  );
  t.is(decode('Mount', encode('Mount', { container_path: '/\uFFFD' })).container_path, '/\uFFFD');
});

test('a label named __proto__ is a label and changes no prototype', (t) => {
  const labels = JSON.parse('{"__proto__":"x","a":"b"}') as Record<string, string>;
  const decoded = decode('PodSandboxConfig', encode('PodSandboxConfig', { labels })).labels;
  t.deepEqual(Object.entries(decoded).toSorted(), [
    ['__proto__', 'x'],
    ['a', 'b'],
  ]);
  t.is(Object.getPrototypeOf(decoded), Object.prototype);
});

test('unknown fields are skipped', (t) => {
  const known = encode('PodIP', { ip: '10.0.0.1' });
  const unknown = Buffer.from([0xa2, 0x06, 0x03, 0x61, 0x62, 0x63]);
  t.deepEqual(decode('PodIP', Buffer.concat([unknown, known, unknown])), { ip: '10.0.0.1' });
});

test('truncated bytes are invalid-argument and name the message', (t) => {
  const bytes = encode('PodSandboxMetadata', { name: 'a-name-of-some-length', uid: 'u' });
  t.regex(
    codeAndMessage(() => decode('PodSandboxMetadata', bytes.subarray(0, 7))),
    /^invalid-argument: decode PodSandboxMetadata: /,
  );
});

test('random bytes are decoded or refused, never anything else', (t) => {
  let refused = 0;
  for (let round = 0; round < 3000; round += 1) {
    const bytes = Buffer.from(
      Array.from({ length: round % 60 }, (_, at) => (round * 31 + at * at * 17 + (round >> 3) * at) & 0xff),
    );
    const result = codeAndMessage(() => decode('CreateContainerRequest', bytes));
    if (result !== 'no error') refused += 1;
    t.regex(result, /^(no error|invalid-argument: )/);
  }
  t.true(refused > 1000);
});

test("a wire type that is not the field's, a group and field number 0 are refused", (t) => {
  for (const bytes of [
    [0x0d, 1, 2, 3, 4],
    [0x08, 1],
    [0x0b, 0x0c],
    [0x02, 0x00],
  ])
    t.regex(
      codeAndMessage(() => decode('PodIP', Buffer.from(bytes))),
      /^invalid-argument: decode PodIP: /,
    );
});

test('a number of more than ten bytes is refused', (t) => {
  const bytes = Buffer.concat([Buffer.from([0x08]), Buffer.alloc(11, 0x80)]);
  t.regex(
    codeAndMessage(() => decode('Int64Value', bytes)),
    /more than ten bytes/,
  );
});

test('a value that does not fit its field is an error that names the field', (t) => {
  const wrong = [
    () => encode('IDMapping', { length: -1 }),
    () => encode('IDMapping', { length: 1.5 }),
    () => encode('Int64Value', { value: 2n ** 63n }),
    () => encode('PodIP', { ip: 5 as never }),
    () => encode('Container', { state: 'NO_SUCH_STATE' as never }),
    () => encode('PodSandboxConfig', { labels: { a: 5 as never } }),
  ];
  for (const action of wrong) t.regex(codeAndMessage(action), /^internal: encode \w+\.\w+(\[a\])?: .* does not fit$/);
});

test('a message goes through JSON.stringify and back', (t) => {
  const config = decode(
    'ContainerConfig',
    encode('ContainerConfig', {
      metadata: { name: 'a', attempt: 2 },
      envs: [{ key: 'K', value: Buffer.from([0xff]) }],
      linux: {
        resources: { memory_limit_in_bytes: 2n ** 53n + 1n },
        security_context: { seccomp: { profile_type: 'Localhost' } },
      },
      stop_signal: 'SIGNAL_SIGTERM',
    }),
  );
  const back = fromJson('ContainerConfig', JSON.parse(JSON.stringify(toJson('ContainerConfig', config))));
  t.deepEqual(back, config);
});

test('for scripts a message is as Go writes it: numbers for enums and 64 bits, no defaults', (t) => {
  const input = {
    metadata: { name: 'a', attempt: 0 },
    envs: [{ key: 'K', value: Buffer.from('grün') }],
    linux: {
      resources: { cpu_shares: 512n },
      security_context: { namespace_options: { network: 'NODE', ipc: 'POD' }, supplemental_groups: [5n] },
    },
    labels: { x: 'y' },
  } as const;
  const told = toGoJson('ContainerConfig', decode('ContainerConfig', encode('ContainerConfig', input)));
  t.deepEqual(JSON.parse(JSON.stringify(told)), {
    metadata: { name: 'a' },
    envs: [{ key: 'K', value: 'grün' }],
    linux: {
      resources: { cpu_shares: 512 },
      security_context: { namespace_options: { network: 2 }, supplemental_groups: [5] },
    },
    labels: { x: 'y' },
  });
});

test('joined items are the bytes of the whole list answer', (t) => {
  const containers = [{ id: 'a', created_at: 5n, labels: { x: 'y' } }, {}, { id: 'b' }];
  const items = containers.map((item) => encodeItem('ListContainersResponse', 'containers', item));
  t.deepEqual(Buffer.from(joinItems(items).bytes), encode('ListContainersResponse', { containers }));
});

test("a state file's message of the wrong shape is data-loss and names the field", (t) => {
  const wrong = [
    null,
    [],
    { metadata: 5 },
    { labels: { a: 1 } },
    { envs: {} },
    { linux: { resources: { cpu_quota: 5 } } },
  ];
  for (const json of wrong)
    t.regex(
      codeAndMessage(() => fromJson('ContainerConfig', json)),
      /^data-loss: read ContainerConfig/,
    );
});

test('equal messages have equal bytes, whatever the order of their maps', (t) => {
  const one = encode('PodSandboxConfig', { labels: { a: '1', b: '2', c: '3' } });
  t.deepEqual(encode('PodSandboxConfig', { labels: { c: '3', a: '1', b: '2' } }), one);
});
