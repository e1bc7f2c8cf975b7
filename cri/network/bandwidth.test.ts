import test from 'ava';
import { bandwidthOf, parseQuantity } from './bandwidth.ts';

const quantities: readonly (readonly [string, bigint | undefined])[] = [
  ['10M', 10_000_000n],
  ['1.5Gi', 1_610_612_736n],
  ['1e6', 1_000_000n],
  ['1E3', 1_000n],
  ['1E', 10n ** 18n],
  ['.5M', undefined],
  ['5.M', 5_000_000n],
  ['1001m', 2n],
  ['0.1', 1n],
  ['1500', 1500n],
  ['-1M', undefined],
  ['10Mb', undefined],
  ['10 M', undefined],
  ['', undefined],
  ['1e999', undefined],
  ['10M\n', undefined],
  ['0x10', undefined],
];

for (const [text, value] of quantities)
  test(`the quantity ${JSON.stringify(text)} is ${value ?? 'refused'}`, (t) => t.is(parseQuantity(text), value));

test('bandwidth has only the directions that are asked for', (t) => {
  t.is(bandwidthOf({ other: '1' }), undefined);
  t.deepEqual(bandwidthOf({ 'kubernetes.io/egress-bandwidth': '1M' }), {
    egressRate: 1_000_000,
    egressBurst: 0xffff_ffff,
  });
});

for (const text of ['999', '2P', 'ten'])
  test(`the bandwidth ${text} is refused with the annotation's name`, (t) => {
    t.throws(() => bandwidthOf({ 'kubernetes.io/ingress-bandwidth': text }), {
      code: 'invalid-argument',
      message: /annotation kubernetes\.io\/ingress-bandwidth/,
    });
  });
