import test from 'ava';
import { chosen } from './driver.ts';

const there = async (): Promise<undefined> => undefined;
const missing = async (): Promise<string> => 'this machine has none';

test('the driver is what is configured, else what the parent can be, else what the machine has', async (t) => {
  const name = async (...[cgroup, find]: Parameters<typeof chosen>): Promise<string> =>
    (await chosen(cgroup, find)).name;
  t.is(await name({ driver: 'auto', parent: '' }, there), 'systemd');
  t.is(await name({ driver: 'auto', parent: '' }, missing), 'cgroupfs');
  t.is(await name({ driver: 'auto', parent: '/pods' }, there), 'cgroupfs');
  t.is(await name({ driver: 'auto', parent: 'pods.slice' }, there), 'systemd');
  t.is(await name({ driver: 'cgroupfs', parent: '' }, there), 'cgroupfs');
  t.is(await name({ driver: 'systemd', parent: '' }, there), 'systemd');
});

test('systemd that is asked for and not there is an error, and so is one that does not answer', async (t) => {
  await t.throwsAsync(chosen({ driver: 'systemd', parent: '' }, missing), {
    message: /cgroup\.driver: this machine has none/,
  });
  await t.throwsAsync(chosen({ driver: 'auto', parent: 'a.slice' }, missing), { message: /cgroup\.parent: this/ });
  const silent = async (): Promise<never> => {
    throw new Error('no answer');
  };
  await t.throwsAsync(chosen({ driver: 'auto', parent: '' }, silent), { message: 'no answer' });
});
