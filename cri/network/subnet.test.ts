import test from 'ava';
import {
  chooseSubnet,
  formatSubnet,
  overlaps,
  parseRoutes,
  parseSubnet,
  parseSubnetSetting,
  type Subnet,
} from './subnet.ts';

const subnet = (text: string): Subnet => {
  const parsed = parseSubnet(text);
  if (parsed === undefined) throw new Error(`not a subnet: ${text}`);
  return parsed;
};

const header = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT';
const line = (device: string, destination: string, mask: string): string =>
  `${device}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0  `;

test('the route table is read without the default route', (t) => {
  const table = [header, line('eth0', '00000000', '00000000'), line('eth0', '0002000A', '00FFFFFF')].join('\n');
  t.deepEqual(parseRoutes(table), [{ device: 'eth0', subnet: subnet('10.0.2.0/24') }]);
});

test('networks overlap when one holds the other, and not side by side', (t) => {
  t.true(overlaps(subnet('10.0.0.0/8'), subnet('10.210.0.0/16')));
  t.true(overlaps(subnet('10.210.7.0/24'), subnet('10.210.0.0/16')));
  t.false(overlaps(subnet('10.211.0.0/16'), subnet('10.210.0.0/16')));
});

const choose = (routes: readonly (readonly [string, string])[], kept?: string): string =>
  formatSubnet(
    chooseSubnet(
      routes.map(([device, text]) => ({ device, subnet: subnet(text) })),
      'berth0',
      kept === undefined ? undefined : subnet(kept),
    ),
  );

test('the subnet chosen overlaps no route, and moves away when a route comes before the bridge is there', (t) => {
  t.is(choose([]), '10.210.0.0/16');
  t.is(choose([['eth0', '10.210.8.0/24']]), '10.211.0.0/16');
  t.is(choose([['eth0', '10.220.1.0/24']], '10.220.0.0/16'), '10.210.0.0/16');
  t.is(choose([['eth0', '10.0.0.0/8']]), '172.16.0.0/16');
});

test('the subnet stays what it was, also under a route that comes while the bridge is in use', (t) => {
  t.is(choose([], '10.220.0.0/16'), '10.220.0.0/16');
  t.is(
    choose(
      [
        ['berth0', '10.220.0.0/16'],
        ['tun0', '10.0.0.0/8'],
      ],
      '10.220.0.0/16',
    ),
    '10.220.0.0/16',
  );
});

test('when no private subnet is free the error says which key to set', (t) => {
  const all: readonly (readonly [string, string])[] = [
    ['a', '10.0.0.0/8'],
    ['b', '172.16.0.0/12'],
    ['c', '192.168.0.0/16'],
  ];
  t.throws(() => choose(all), { message: /network\.embedded_subnet/ });
});

for (const text of [
  '10.210.0.0/24',
  '10.210.0.0/7',
  '10.210.0.1/16',
  '10.210.0.0',
  'x/16',
  '10.210.0.0/16,fe80::1',
  '10.210.0.0/16,fd00::/8',
  '10.210.0.0/16,fd00::1/64',
  '10.210.0.0/16,::ffff:a00:0/104',
  '10.210.0.0/16,fd00::/64,x',
])
  test(`the setting ${text} is refused`, (t) => {
    t.throws(() => parseSubnetSetting(text), { code: 'invalid-argument', message: /network\.embedded_subnet/ });
  });

test('the setting takes an IPv4 network of /20 or wider, and an IPv6 one after it', (t) => {
  t.deepEqual(parseSubnetSetting('10.96.0.0/20, fd00:1::/64'), { v4: subnet('10.96.0.0/20'), v6: 'fd00:1::/64' });
});
