// The node's pod CIDR, as kubelet tells it with UpdateRuntimeConfig. docs/cri.tsv names these tests.
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { runPod, type TestPod } from './harness/pods.ts';

const tell = (daemon: TestDaemon, pod_cidr: string) =>
  daemon.client.UpdateRuntimeConfig({ runtime_config: { network_config: { pod_cidr } } });

const addresses = async (daemon: TestDaemon, { id }: TestPod): Promise<readonly string[]> => {
  const { network } = (await daemon.client.PodSandboxStatus({ pod_sandbox_id: id })).status ?? {};
  return [network?.ip ?? '', ...(network?.additional_ips ?? []).map(({ ip }) => ip)];
};

/** Whether something answers at the address, asked from inside of the pod: here a closed port says so. */
const reaches = async (daemon: TestDaemon, from: TestPod, ip: string): Promise<boolean> => {
  const { info } = await daemon.client.PodSandboxStatus({ pod_sandbox_id: from.id, verbose: true });
  const netns = JSON.parse(info.info ?? '').runtimeSpec.linux.namespaces.find(
    ({ type }: { type: string }) => type === 'network',
  ).path;
  const script = `require('net').connect({ host: '${ip}', port: 9, timeout: 3000 })
    .on('error', (e) => console.log(e.code)).on('timeout', () => process.exit())`;
  const { stdout } = await daemon.world.run('nsenter', [`--net=${netns}`, process.execPath, '-e', script]);
  return stdout === 'ECONNREFUSED\n';
};

test('new pods of the default network are in the pod CIDR, also after a restart, and those that run keep address and network', async (t) => {
  await using daemon = await TestDaemon.start({ network: 'embedded', images: [] });
  const before = await runPod(daemon);
  const [old = ''] = await addresses(daemon, before);
  t.regex(old, /^10\.210\./);
  t.deepEqual(await tell(daemon, '10.244.3.0/24,fd00:244:3::/64'), {});
  const after = await runPod(daemon);
  const [four = '', six = ''] = await addresses(daemon, after);
  t.regex(four, /^10\.244\.3\./);
  t.regex(six, /^fd00:244:3::/);
  t.deepEqual(await addresses(daemon, before), [old]);
  t.true(await reaches(daemon, after, old), 'the new pod reaches the old one');
  t.true(await reaches(daemon, before, four), 'the old pod reaches the new one');
  await daemon.killAndBoot();
  t.regex((await addresses(daemon, await runPod(daemon)))[0] ?? '', /^10\.244\.3\./);
  t.true(await reaches(daemon, before, four));
  await before.remove();
  await tell(daemon, '10.244.4.0/24');
  t.regex((await addresses(daemon, await runPod(daemon)))[0] ?? '', /^10\.244\.4\./);
});
