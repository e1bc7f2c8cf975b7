import test from 'ava';
import { marshal, unmarshal, type Value } from './marshal.ts';
import { encodeCall, MessageParser, MessageType } from './message.ts';

/** systemd 257's own answer on its private socket to Get of Manager's Version. */
const recorded = Buffer.from(
  '6c0201011900000001000000370000000501750001000000070173001800000' +
    '06f72672e667265656465736b746f702e73797374656d6431000000000000000008016700017600000173000010000000' +
    '3235372e31332d317e646562313375310000',
  'hex',
).subarray(0, 97);

test('a call is what systemd has answered to, byte by byte', (t) => {
  const bytes = encodeCall(1, {
    path: '/org/freedesktop/systemd1',
    interface: 'org.freedesktop.DBus.Properties',
    member: 'Get',
    signature: 'ss',
    body: ['org.freedesktop.systemd1.Manager', 'Version'],
  });
  const head = `6c01000134000000010000006800000001016f0019000000${hex('/org/freedesktop/systemd1')}00000000000000`;
  const fields = `0201730 01f000000${hex('org.freedesktop.DBus.Properties')}000301730003000000${hex('Get')}0000000000`;
  const rest = `0801670002${hex('ss')}00 20000000${hex('org.freedesktop.systemd1.Manager')}0000000007000000${hex('Version')}00`;
  t.is(bytes.toString('hex'), `${head}${fields}${rest}`.replaceAll(' ', ''));
});

const hex = (text: string): string => Buffer.from(text).toString('hex');

test('systemd’s answer is read, wherever its pieces end', (t) => {
  for (let cut = 1; cut < recorded.length; cut += 1) {
    const parser = new MessageParser();
    t.deepEqual(parser.push(recorded.subarray(0, cut)), []);
    const [message] = parser.push(recorded.subarray(cut));
    t.is(message?.type, MessageType.reply);
    t.is(message?.replyTo, 1);
    t.deepEqual(message?.body(), [{ signature: 's', value: '257.13-1~deb13u1' }]);
  }
});

test('what is no message, or is longer than any of systemd’s, ends the connection', (t) => {
  const broken = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(recorded);
    change(bytes);
    return bytes;
  };
  for (const [change, words] of [
    [(bytes: Buffer) => bytes.writeUInt8(0x42, 0), /little-endian/],
    [(bytes: Buffer) => bytes.writeUInt8(2, 3), /version/],
    [(bytes: Buffer) => bytes.writeUInt32LE(1 << 28, 4), /at most/],
    [(bytes: Buffer) => bytes.writeUInt32LE(0xffff_ffff, 12), /at most/],
  ] as const)
    t.throws(() => new MessageParser().push(broken(change)), { message: words });
});

const values: readonly (readonly [string, readonly Value[]])[] = [
  ['y', [255]],
  ['bu', [true, 4_294_967_295]],
  ['yt', [1, 2n ** 64n - 1n]],
  ['sog', ['ä', '/a', 'a(sv)']],
  ['aut', [[1, 2, 3], 4n]],
  ['yas', [1, ['one', '']]],
  [
    'a(sv)',
    [
      [
        ['A', { signature: 't', value: 1n }],
        ['B', { signature: 'as', value: ['x'] }],
      ],
    ],
  ],
  ['a(sa(sv))', [[]]],
  ['a{sv}', [[['k', { signature: 'b', value: false }]]]],
];
for (const [signature, list] of values)
  test(`${signature} comes back as it was`, (t) => {
    t.deepEqual(unmarshal(signature, marshal(signature, list)), list);
  });

test('a value that is not of its type is an error, and nothing is sent', (t) => {
  for (const [signature, value] of [
    ['s', 1],
    ['t', 1],
    ['u', '1'],
    ['s', 'a\0b'],
    ['v', 's'],
    ['(ss)', ['a']],
    ['x', 1n],
    ['as', 'a'],
  ] as const)
    t.throws(() => marshal(signature, [value]), { code: 'internal' });
  t.throws(() => marshal('(s', [['a']]), { code: 'internal' });
});

test('any bytes are read or refused, never past their end', (t) => {
  let seed = 7;
  const random = (most: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    return seed % most;
  };
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(recorded);
    for (let change = random(6); change >= 0; change -= 1) bytes.writeUInt8(random(256), random(bytes.length));
    try {
      for (const message of new MessageParser().push(bytes)) message.body();
    } catch (error) {
      t.is((error as { code?: string }).code, 'internal', String(error));
    }
  }
  t.pass();
});

test('variants within variants end', (t) => {
  const depth = 40;
  const bytes = Buffer.concat([
    ...Array.from({ length: depth }, () => Buffer.from('\x01v\0', 'latin1')),
    Buffer.from('\x01y\0\x07', 'latin1'),
  ]);
  t.throws(() => unmarshal('v', bytes), { message: /nested/ });
});

test('an array of empty structures, which has no end, is refused', (t) => {
  const bytes = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  for (const signature of ['a()', 'a{}', 'aa()'])
    t.throws(() => unmarshal(signature, bytes), { message: /of nothing/ });
});
