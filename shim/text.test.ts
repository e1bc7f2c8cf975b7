import { randomBytes } from 'node:crypto';
import test from 'ava';
import { bytesOfText, textOfBytes } from './text.ts';

test('any bytes come back from their text, also through JSON', (t) => {
  const edges = [
    'c3a9',
    'ff',
    'c3',
    'e282ac',
    'e282',
    'f09f9880',
    'eda080',
    'c080',
    'f5808080',
    'efbbbf41',
    '80ffc3a9fe',
  ];
  for (const bytes of [...edges.map((hex) => Buffer.from(hex, 'hex')), randomBytes(5000)]) {
    t.deepEqual(bytesOfText(textOfBytes(bytes)), bytes);
    t.deepEqual(bytesOfText(String(JSON.parse(JSON.stringify(textOfBytes(bytes))))), bytes);
  }
});

test('valid UTF-8 is its own text', (t) => {
  t.is(textOfBytes(Buffer.from('grüße €😀')), 'grüße €😀');
});

test('a surrogate outside the escapes cannot bring an ASCII byte', (t) => {
  t.false(bytesOfText('\udc0a').includes(0x0a));
});
