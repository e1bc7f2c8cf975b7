import test from 'ava';
import { asObject } from './json.ts';
import { parseResult } from './result.ts';

const parse = (value: unknown) => parseResult(asObject(JSON.parse(JSON.stringify(value)), 'r'), 'eth0', 'network n');

test("the first address of the pod's interface is the pod's, and addresses of host interfaces are not", (t) => {
  const result = parse({
    interfaces: [{ name: 'berth0' }, { name: 'eth0', sandbox: '/ns' }],
    ips: [
      { address: '10.0.0.1/24', interface: 0 },
      { version: '4', address: '10.0.0.5/24', gateway: '10.0.0.1', interface: 1 },
      { version: '6', address: 'fd00::5/64', interface: 1 },
    ],
    dns: { nameservers: ['10.0.0.10'] },
  });
  t.deepEqual(result.podIPs, ['10.0.0.5', 'fd00::5']);
  t.deepEqual(result.dns, { nameservers: ['10.0.0.10'], domain: '', search: [], options: [] });
});

test("addresses without an interface are the pod's", (t) => {
  t.deepEqual(parse({ ips: [{ address: '10.0.0.5/24' }] }).podIPs, ['10.0.0.5']);
});

test('a result of version 0.2.0 has its addresses in ip4 and ip6', (t) => {
  t.deepEqual(parse({ ip4: { ip: '10.0.0.5/24' }, ip6: { ip: 'fd00::5/64' } }).podIPs, ['10.0.0.5', 'fd00::5']);
});

const wrong: readonly (readonly [string, unknown, RegExp])[] = [
  ['without an address', {}, /no address for eth0/],
  [
    'with only host addresses',
    { interfaces: [{ name: 'br' }], ips: [{ address: '10.0.0.1/24', interface: 0 }] },
    /no address for eth0/,
  ],
  [
    'with an address that is none',
    { ips: [{ address: '10.0.0.300/24' }] },
    /ips\[0\]: "10\.0\.0\.300\/24" is not an address/,
  ],
  ['with a prefix that is too long', { ips: [{ address: '10.0.0.3/33' }] }, /not an address with a prefix/],
  ['with an interface that is not there', { ips: [{ address: '10.0.0.3/24', interface: 2 }] }, /interface 2 of 0/],
  ['with a negative interface', { ips: [{ address: '10.0.0.3/24', interface: -1 }] }, /not a whole number/],
  [
    'with a gateway that is none',
    { ips: [{ address: '10.0.0.3/24', gateway: 'x;y' }] },
    /gateway "x;y" is not an address/,
  ],
  ['with ips that are no list', { ips: {} }, /ips is not a list/],
  [
    'with a name server that is a number',
    { ips: [{ address: '10.0.0.3/24' }], dns: { nameservers: [1] } },
    /nameservers has an entry/,
  ],
];

for (const [title, value, message] of wrong)
  test(`a result ${title} is refused`, (t) => {
    t.throws(() => parse(value), { message });
  });
