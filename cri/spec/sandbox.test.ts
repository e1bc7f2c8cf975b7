import test from 'ava';
import { hostsFile, resolvConf } from './dns.ts';
import { logPath } from './log-path.ts';
import { validateMap } from './names.ts';
import { sandboxSpec } from './sandbox.ts';
import type { PodSandboxConfig } from './types.ts';

const metadata = { name: 'web-0', uid: 'u-1', namespace: 'default', attempt: 2 };
const host = { hostname: 'node-1', selinux: { kind: 'absent' } } as const;
const make = (config: Partial<PodSandboxConfig>) => sandboxSpec({ metadata, ...config }, host);
const sysctls = (map: Record<string, string>, options = {}) =>
  make({ linux: { sysctls: map, security_context: { namespace_options: options } } }).sysctls;

test('a minimal pod is whole', (t) => {
  const spec = make({});
  t.deepEqual(spec.metadata, metadata);
  t.is(spec.hostname, 'web-0');
  t.is(spec.resolvConf, undefined);
  t.is(spec.logDirectory, undefined);
});

for (const field of ['name', 'uid', 'namespace'] as const)
  for (const value of ['', '..', 'a/b', 'a\nb', 'x'.repeat(254)])
    test(`metadata.${field} ${JSON.stringify(value.slice(0, 8))} is refused`, (t) => {
      t.throws(() => make({ metadata: { ...metadata, [field]: value } }), {
        code: 'invalid-argument',
        message: new RegExp(field),
      });
    });

test('a pod without metadata is refused', (t) => {
  t.throws(() => sandboxSpec({}, host), { message: /metadata/ });
});

test('the hostname is the request’s, the host’s on its network, else made of the pod’s name', (t) => {
  t.is(make({ hostname: 'My-Host.example' }).hostname, 'My-Host.example');
  t.is(make({ linux: { security_context: { namespace_options: { network: 'NODE' } } } }).hostname, 'node-1');
  t.is(make({ metadata: { ...metadata, name: 'Bad_name..' } }).hostname, 'bad-name');
  t.is(make({ metadata: { ...metadata, name: '___' } }).hostname, 'pod');
  t.true(make({ metadata: { ...metadata, name: `${'a'.repeat(62)}.b` } }).hostname.length <= 64);
});

for (const hostname of ['a b', '-a', 'a-', 'a..b', 'a\n', 'ü', 'a'.repeat(64), `${'a'.repeat(40)}.${'b'.repeat(40)}`])
  test(`the hostname ${JSON.stringify(hostname.slice(0, 10))} (${hostname.length}) is refused`, (t) => {
    t.throws(() => make({ hostname }), { code: 'invalid-argument', message: /hostname/ });
  });

test('the log directory is absolute and clean', (t) => {
  t.is(make({ log_directory: '/var/log//pods/' }).logDirectory, '/var/log/pods');
  for (const log_directory of ['var/log', '/var/../etc', '/a\nb'])
    t.throws(() => make({ log_directory }), { message: /log_directory/ });
});

test('namespaced sysctls are taken, in either spelling', (t) => {
  t.deepEqual(
    sysctls({
      'kernel.shm_rmid_forced': '1',
      'net/ipv4/conf/eth0.1/rp_filter': '2',
      'fs.mqueue.msg_max': '10',
      'kernel.sem': '1\t2 3 4',
    }),
    {
      'kernel.shm_rmid_forced': '1',
      'net.ipv4.conf.eth0/1.rp_filter': '2',
      'fs.mqueue.msg_max': '10',
      'kernel.sem': '1\t2 3 4',
    },
  );
});

for (const name of [
  'vm.swappiness',
  'kernel.core_pattern',
  'kernel.shm',
  'kernel.hostname',
  'net',
  'net.',
  'net..x',
  'net./../kernel/core_pattern',
  'net.ipv4.../x',
  'fs.mqueue./x',
  'kernel/../vm/x',
  '',
  'net.ipv4.a\nb',
])
  test(`the sysctl ${JSON.stringify(name)} is refused`, (t) => {
    t.throws(() => sysctls({ [name]: '1' }), { code: 'invalid-argument', message: /sysctl/ });
  });

// CVE-2022-0811
for (const value of ['1\nkernel.core_pattern=|x', '1\0', '', '1\r'])
  test(`the sysctl value ${JSON.stringify(value)} is refused`, (t) => {
    t.throws(() => sysctls({ 'net.ipv4.ip_forward': value }), { code: 'invalid-argument' });
  });

test('a value with + is one value of one sysctl', (t) => {
  t.deepEqual(sysctls({ 'kernel.shm_rmid_forced': '1+kernel.core_pattern=|/x #' }), {
    'kernel.shm_rmid_forced': '1+kernel.core_pattern=|/x #',
  });
});

test('a sysctl of a namespace that is the host’s is refused', (t) => {
  t.throws(() => sysctls({ 'net.ipv4.ip_forward': '1' }, { network: 'NODE' }), { message: /host's network/ });
  t.throws(() => sysctls({ 'kernel.msgmax': '1' }, { ipc: 'NODE' }), { message: /host's IPC/ });
});

test('resolv.conf has searches, servers and options, and is the host’s when nothing is set', (t) => {
  t.is(
    resolvConf({ servers: ['10.0.0.1', 'fe80::1%eth0'], searches: ['a.svc', 'b'], options: ['ndots:5'] }),
    'search a.svc b\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\noptions ndots:5\n',
  );
  t.is(resolvConf({ servers: [] }), undefined);
  t.is(resolvConf(undefined), undefined);
});

for (const config of [
  { servers: ['1.2.3.4\nsearch evil'] },
  { servers: ['host'] },
  { servers: ['::1%a\nb'] },
  { searches: ['a b'] },
  { searches: [''] },
  { options: ['ndots:5\n'] },
])
  test(`the DNS configuration ${JSON.stringify(config)} is refused`, (t) => {
    t.throws(() => resolvConf(config), { code: 'invalid-argument' });
  });

test('/etc/hosts names the pod at each of its addresses', (t) => {
  t.regex(
    hostsFile('web-0', ['10.1.0.2', 'fd00::2']),
    /^127\.0\.0\.1\tlocalhost\n[\s\S]*\n10\.1\.0\.2\tweb-0\nfd00::2\tweb-0\n$/,
  );
});

test('a log path is below the log directory, and empty is no log', (t) => {
  t.is(logPath('/var/log/pods/a', 'c/0.log'), '/var/log/pods/a/c/0.log');
  t.is(logPath('/var/log/pods/a/', '/var/log/pods/a/c.log'), '/var/log/pods/a/c.log');
  t.is(logPath('/var/log/pods/a', ''), undefined);
  t.is(logPath('', 'c.log'), undefined);
});

// CVE-2025-0750
for (const path of ['../b/0.log', 'c/../../b', '/etc/passwd', '/var/log/pods/ab', '.', '/', 'a/..', 'a\nb', 'a\0'])
  test(`the log path ${JSON.stringify(path)} is refused`, (t) => {
    t.throws(() => logPath('/var/log/pods/a', path), { code: 'invalid-argument', message: /log_path/ });
  });

test('labels keep their values, an empty key or too much in all is refused', (t) => {
  t.deepEqual(validateMap({ a: '', b: 'x\ny' }, 'labels'), { a: '', b: 'x\ny' });
  t.throws(() => validateMap({ '': 'x' }, 'labels'), { message: /labels/ });
  t.throws(() => validateMap({ a: 'x'.repeat(5 << 20) }, 'annotations'), { message: /annotations/ });
  t.deepEqual(Object.keys(validateMap(JSON.parse('{"__proto__": "x"}'), 'labels')), ['__proto__']);
});
