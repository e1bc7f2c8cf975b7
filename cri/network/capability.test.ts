import test from 'ava';
import { capabilityArgs, cniArgs } from './capability.ts';
import type { NetworkSandbox, PortMapping } from './types.ts';

const sandbox = (extra: Partial<NetworkSandbox> = {}): NetworkSandbox => ({
  id: 'a'.repeat(64),
  name: 'web',
  namespace: 'default',
  uid: 'u',
  netnsPath: '/ns',
  portMappings: [],
  annotations: {},
  dns: { servers: [], searches: [], options: [] },
  cgroupParent: '',
  lockPath: '/lock',
  ...extra,
});

const mapping = (extra: Partial<PortMapping>): NetworkSandbox =>
  sandbox({ portMappings: [{ protocol: 'TCP', containerPort: 80, hostPort: 8080, hostIp: '', ...extra }] });

test('a pod that asks for nothing has no capability arguments', (t) => t.deepEqual(capabilityArgs(sandbox()), {}));

test('a mapping without a host port asks for nothing', (t) =>
  t.deepEqual(capabilityArgs(mapping({ hostPort: 0 })), {}));

test('a host address is passed on', (t) => {
  t.deepEqual(capabilityArgs(mapping({ hostIp: '::1', protocol: 'SCTP' })), {
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'sctp', hostIP: '::1' }],
  });
});

for (const wrong of [{ hostPort: 65_536 }, { containerPort: 0 }, { containerPort: 1.5 }, { hostIp: '10.0.0.1; x' }])
  test(`the port mapping ${JSON.stringify(wrong)} is refused`, (t) => {
    t.throws(() => capabilityArgs(mapping(wrong)), { code: 'invalid-argument' });
  });

for (const name of ['a;K8S_POD_UID=0', 'a=b', 'a\nb'])
  test(`a pod name that would add to CNI_ARGS is refused: ${JSON.stringify(name)}`, (t) => {
    t.throws(() => cniArgs(sandbox({ name })), { code: 'invalid-argument', message: /K8S_POD_NAME/ });
  });
