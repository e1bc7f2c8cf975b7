import test from 'ava';
import { checkPod, withPodGroups } from './pod-checks.ts';
import type { PodSandboxConfig, SecurityContext } from './types.ts';

const check = (config: PodSandboxConfig) => () => checkPod(config, { hostname: 'node-1' });
const onHost = (config: PodSandboxConfig): PodSandboxConfig => ({
  ...config,
  linux: { security_context: { namespace_options: { network: 'NODE' } } },
});
const refused = (field: string) => ({ code: 'invalid-argument', message: new RegExp(`^${field}`) });

test('a pod on the host’s network has the host’s name or none of its own', (t) => {
  t.notThrows(check(onHost({ hostname: 'node-1' })));
  t.notThrows(check(onHost({})));
  t.notThrows(check({ hostname: 'other' }));
  t.throws(check(onHost({ hostname: 'other' })), refused('hostname: .*node-1'));
});

test('on the host’s network a port is mapped to itself', (t) => {
  const ports = (container_port: number, host_port: number) => ({ port_mappings: [{ container_port, host_port }] });
  t.notThrows(check(onHost(ports(80, 80))));
  t.notThrows(check(onHost(ports(80, 0))));
  t.notThrows(check(ports(80, 8080)));
  t.throws(check(onHost(ports(80, 8080))), refused('port_mappings: host_port 8080'));
});

test('users, groups and profiles of a pod are checked although nothing runs with them', (t) => {
  const security = (security_context: SecurityContext) => check({ linux: { security_context } });
  t.notThrows(security({ run_as_user: { value: 1n }, run_as_group: { value: 2n }, supplemental_groups: [3n] }));
  t.throws(security({ run_as_user: { value: -1n } }), refused('run_as_user'));
  t.throws(security({ run_as_user: { value: 1n }, run_as_group: { value: 1n << 32n } }), refused('run_as_group'));
  t.throws(security({ run_as_group: { value: 2n } }), refused('run_as_group'));
  t.throws(security({ supplemental_groups: [-5n] }), refused('supplemental_groups'));
  t.throws(security({ seccomp: { profile_type: 'Localhost' } }), refused('seccomp'));
  t.throws(security({ seccomp_profile_path: 'nonsense' }), refused('seccomp_profile_path'));
  t.throws(security({ apparmor: { profile_type: 'Unconfined', localhost_ref: 'x' } }), refused('apparmor'));
});

test('the pod’s groups are joined with the container’s, and Strict of either holds', (t) => {
  const pod = (security_context: SecurityContext): PodSandboxConfig => ({ linux: { security_context } });
  const context: SecurityContext = { supplemental_groups: [7n] };
  t.is(withPodGroups(context, {}), context);
  t.deepEqual(withPodGroups(context, pod({ supplemental_groups: [5n] })).supplemental_groups, [5n, 7n]);
  t.is(withPodGroups(context, pod({ supplemental_groups_policy: 'Strict' })).supplemental_groups_policy, 'Strict');
  const strict: SecurityContext = { supplemental_groups_policy: 'Strict' };
  t.is(withPodGroups(strict, pod({ supplemental_groups: [5n] })).supplemental_groups_policy, 'Strict');
});
