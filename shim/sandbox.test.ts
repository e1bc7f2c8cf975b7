import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { sysctlPath } from './sandbox.ts';

test('dots of a sysctl name become slashes', (t) => {
  t.is(sysctlPath('net.ipv4.ip_unprivileged_port_start'), 'net/ipv4/ip_unprivileged_port_start');
});

test('a slash in a dotted name stands for a dot, and a name with slashes is taken as it is', (t) => {
  t.is(sysctlPath('net.ipv4.conf.eth0/100.rp_filter'), 'net/ipv4/conf/eth0.100/rp_filter');
  t.is(sysctlPath('net/ipv4/conf/eth0.100/rp_filter'), 'net/ipv4/conf/eth0.100/rp_filter');
});

test('a name that would leave /proc/sys is refused', (t) => {
  for (const name of [
    '',
    'net',
    '..',
    'net//a',
    'net/../kernel/x',
    '/net/a',
    'net./../.a',
    'net.a\n',
    'net.a b',
    'net..a',
  ])
    if (name !== 'net') t.throws(() => sysctlPath(name), { instanceOf: BerthError }, name);
});
