import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { eventually, Inside, type Pod } from './inside.ts';

interface Call {
  readonly command: string;
  readonly stdin: Record<string, unknown>;
}

const open = async (cniVersion = '1.1.0') => {
  const inside = await Inside.open();
  const log = join(inside.base, 'log');
  await mkdir(log);
  await inside.addPlugin('newer');
  const capabilities = {
    portMappings: true,
    bandwidth: true,
    dns: true,
    cgroupPath: true,
    'io.kubernetes.cri.pod-annotations': true,
    mac: true,
  };
  await inside.writeConf('10-net.conflist', {
    cniVersion,
    name: 'newnet',
    plugins: [{ type: 'newer', log, capabilities }],
  });
  return { inside, log };
};

const calls = async (log: string): Promise<readonly Call[]> => {
  const text = await readFile(join(log, 'calls'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const space = line.indexOf(' ');
      return { command: line.slice(0, space), stdin: JSON.parse(line.slice(space)) as Record<string, unknown> };
    });
};

const last = async (log: string, command: string): Promise<Record<string, unknown> | undefined> =>
  (await calls(log)).findLast((call) => call.command === command)?.stdin;

test('GC is called with the live attachments when plugin and configuration know CNI 1.1', async (t) => {
  const { inside, log } = await open();
  await using _ = inside;
  const driver = await inside.driver();
  const pods: Pod[] = [await inside.makeNetns(inside.pod()), await inside.makeNetns(inside.pod())];
  await Promise.all(pods.map((pod) => driver.setup(pod)));
  await driver.call(
    'collect',
    pods.map(({ id }) => id),
  );
  const gc = await last(log, 'GC');
  const expected = pods
    .map(({ id }) => ({ containerID: id, ifname: 'eth0' }))
    .toSorted((a, b) => (a.containerID < b.containerID ? -1 : 1));
  const got = gc?.['cni.dev/valid-attachments'] as typeof expected;
  t.deepEqual(
    got.toSorted((a, b) => (a.containerID < b.containerID ? -1 : 1)),
    expected,
  );
  t.deepEqual(gc?.['cni.dev/attachments'], got);
  t.like(gc, { name: 'newnet', cniVersion: '1.1.0', type: 'newer' });
});

test('GC and STATUS are not called for a configuration of CNI 1.0', async (t) => {
  const { inside, log } = await open('1.0.0');
  await using _ = inside;
  const driver = await inside.driver();
  await driver.setup(await inside.makeNetns(inside.pod()));
  await driver.call('collect', []);
  t.deepEqual([...new Set((await calls(log)).map(({ command }) => command))], ['ADD']);
});

test('STATUS that says no makes the network not ready, and yes makes it ready again', async (t) => {
  const { inside, log } = await open();
  await using _ = inside;
  const driver = await inside.driver();
  t.true((await driver.status()).ready);
  await writeFile(join(log, 'down'), '');
  await eventually('not ready', async () => !(await driver.status()).ready);
  t.regex((await driver.status()).message, /cni newer STATUS: pool is empty; no address is left \(CNI error 50\)/);
  await rm(join(log, 'down'));
  await eventually('ready', async () => (await driver.status()).ready);
});

test('a plugin gets the parameters, the arguments and only the capabilities that it declares; DEL gets the result', async (t) => {
  const { inside, log } = await open();
  await using _ = inside;
  const driver = await inside.driver();
  const pod = await inside.makeNetns(
    inside.pod({
      portMappings: [
        { protocol: 'TCP', containerPort: 80, hostPort: 8080, hostIp: '' },
        { protocol: 'UDP', containerPort: 53, hostPort: 0, hostIp: '' },
      ],
      annotations: { 'kubernetes.io/ingress-bandwidth': '10M', other: 'kept' },
      dns: { servers: ['10.0.0.10'], searches: ['svc'], options: ['ndots:5'] },
      ips: ['10.9.9.9'],
    }),
  );
  await driver.setup(pod);
  await driver.call('check', { id: pod.id });
  await driver.call('teardown', pod);
  const add = await last(log, 'ADD');
  t.deepEqual(add?.runtimeConfig, {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    bandwidth: { ingressRate: 10_000_000, ingressBurst: 4_294_967_295 },
    dns: { servers: ['10.0.0.10'], searches: ['svc'], options: ['ndots:5'] },
    cgroupPath: '/kubepods/pod1',
    'io.kubernetes.cri.pod-annotations': pod.annotations,
  });
  t.false('prevResult' in (add ?? {}));
  t.false('capabilities' in (add ?? {}));
  const env = await readFile(join(log, 'env.ADD'), 'utf8');
  t.deepEqual(env.trim().split('\n'), [
    `CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=${pod.id};K8S_POD_UID=u-1`,
    'CNI_COMMAND=ADD',
    `CNI_CONTAINERID=${pod.id}`,
    'CNI_IFNAME=eth0',
    `CNI_NETNS=${pod.netnsPath}`,
    `CNI_PATH=${inside.binDirs.join(':')}`,
  ]);
  for (const command of ['CHECK', 'DEL'])
    t.like((await last(log, command))?.prevResult, {
      cniVersion: '1.1.0',
      ips: [{ address: '10.99.0.7/24', interface: 0 }],
    });
});
