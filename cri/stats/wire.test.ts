import test from 'ava';
import { parseNetDevices } from './net-devices.ts';
import { wireNetwork } from './wire.ts';

const devices = (...names: string[]) => parseNetDevices(names.map((name) => `${name}: ${'7 '.repeat(16)}`).join('\n'));

/** The name of the default interface, and of all. */
const named = (...names: string[]): readonly unknown[] => {
  const { default_interface: main, interfaces } = wireNetwork(devices(...names), 'eth0', 1n);
  return [main?.name, interfaces?.map(({ name }) => name)];
};

test('the default interface of a pod is its own, else the first, and is among all of them', (t) => {
  t.deepEqual(named('lo', 'net1', 'eth0'), ['eth0', ['net1', 'eth0']]);
  t.deepEqual(named('lo', 'net1', 'net2'), ['net1', ['net1', 'net2']]);
  t.deepEqual(named('lo'), [undefined, []]);
});

test('the default interface has the same figures in both places', (t) => {
  const { default_interface: main, interfaces } = wireNetwork(devices('eth0'), 'eth0', 1n);
  t.deepEqual(interfaces, [main]);
  t.deepEqual(main?.rx_bytes, { value: 7n });
});
