import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { BerthError } from '../../base/errors.ts';
import { runArguments } from './command.ts';
import type { Config } from './index.ts';
import { parseConfig } from './load.ts';
import { defaultFile } from './print.ts';

const errorOf = (text: string): string => {
  try {
    parseConfig(text, 'config.toml');
  } catch (error) {
    return error instanceof BerthError && error.code === 'invalid-argument' ? error.message : `another error: ${error}`;
  }
  return 'no error';
};

const run = async (...argv: string[]) => {
  let out = '';
  let error = '';
  const outcome = await runArguments(argv, { out: (text) => (out += text), error: (text) => (error += text) });
  return { outcome, out, error };
};

const expected: Config = {
  root: '/var/lib/berth',
  state: '/run/berth',
  listen: 'unix:///run/berth/berth.sock',
  log_level: 'info',
  runtime_handlers: [],
  log: { termination_annotation: 'io.kubernetes.container.terminationMessagePolicy' },
  cgroup: {
    driver: 'auto',
    parent: '',
    grace_period_annotation: 'io.kubernetes.pod.terminationGracePeriod',
    io_weight_annotation: '',
    io_max_annotation: '',
  },
  network: {
    conf_dir: '/etc/cni/net.d',
    bin_dirs: ['/opt/cni/bin', '/usr/lib/cni'],
    netns_dir: '/var/run/netns',
    embedded_subnet: '',
    embedded_bridge: 'berth0',
    conf_template: '',
  },
  registry: {
    config_path: ['/etc/berth/certs.d', '/etc/containerd/certs.d', '/etc/docker/certs.d'],
    plain_http: [],
    stall_seconds: 60,
    range_connections: 4,
    range_window: 16_777_216,
    docker_config: '',
    credential_provider_config: '',
    credential_bin_dirs: ['/usr/libexec/kubernetes/kubelet-plugins/credential-provider', '/usr/local/bin', '/usr/bin'],
  },
  images: {
    keep_blobs: true,
    parallel_pulls: 16,
    parallel_layers: 8,
    max_layer_size: 68_719_476_736,
    max_layer_expansion: 200,
    pinned: [],
    policy: '',
    policy_dir: '',
  },
  mounts: { make_missing_sources: true },
  limits: { nofile_soft: 1024, nofile_hard: 524_288, pids: 0 },
  seccomp: { default: 'builtin' },
  selinux: { enable: false },
  exec: { output_limit: 16 << 20 },
  streaming: {
    address: '127.0.0.1',
    port: 0,
    tls_cert: '',
    tls_key: '',
    tls_client_ca: '',
    idle_seconds: 14_400,
    creation_seconds: 30,
  },
  metrics: { address: 'unix:///run/berth/http.sock', allow_remote: false, stuck_seconds: 60 },
};

test('an empty file gives every key its default', (t) => {
  t.deepEqual(parseConfig('', 'config.toml'), expected);
});

test('the printed default file is read without an error and gives the defaults', (t) => {
  t.deepEqual(parseConfig(defaultFile(), 'config.toml'), expected);
});

test('tables, dotted keys and inline tables say the same', (t) => {
  const texts = [
    '[registry]\nstall_seconds = 7',
    'registry.stall_seconds = 7',
    'registry = { stall_seconds = 7 }',
    '"registry"."stall_seconds" = 7',
    'exec = {}\n[registry]\nstall_seconds = 7',
  ];
  for (const text of texts) t.is(parseConfig(text, 'c').registry.stall_seconds, 7);
});

test('an unknown key is told with its line and the key that was meant', (t) => {
  t.is(
    errorOf('\n\n[registry]\nplan_http = []'),
    'config.toml:4: registry.plan_http: unknown key; did you mean plain_http?',
  );
  t.is(errorOf('netns_dir = "/x"'), 'config.toml:1: netns_dir: unknown key; did you mean network.netns_dir?');
  t.is(errorOf('[netwrok]\nconf_dir = "/x"'), 'config.toml:1: netwrok: unknown table; did you mean network?');
  t.is(errorOf('qqqqqqqqqqq = 1'), 'config.toml:1: qqqqqqqqqqq: unknown key');
  t.regex(errorOf('[__proto__]\nx = 1'), /^config\.toml:1: __proto__: unknown table$/);
});

test('every problem of a file is told, each on its line', (t) => {
  t.is(
    errorOf('root = "var"\nlog_level = "loud"\n[images]\nkeep_blobs = "yes"\n'),
    [
      'config.toml:1: root: wants an absolute path, not "var"',
      'config.toml:2: log_level: wants one of debug, info, warn, error, not "loud"',
      'config.toml:4: images.keep_blobs: wants true or false, not "yes"',
    ].join('\n'),
  );
});

test('a key or table that comes twice and broken TOML are told with the line', (t) => {
  for (const text of [
    'root = "/a"\nroot = "/b"',
    '[images]\n[images]',
    'root = ',
    'root = "/a',
    'a = 1 b = 2',
    '= 1',
    'registry.stall_seconds = 1\n[registry]',
  ])
    t.regex(errorOf(text), /^config\.toml:[12]: \S/, text);
  t.regex(errorOf('[[images]]\n'), /^config\.toml:1: images: .*write \[images\]/);
});

const wrong: readonly [string, RegExp][] = [
  ['root = "/a/../b"', /root: wants a path without/],
  ['root = "relative"', /root: wants an absolute path/],
  ['root = "/a\\nb"', /root: has a control character/],
  ['root = 5', /root: wants an absolute path, not 5/],
  ['root = 1979-05-27', /root: wants an absolute path, not a date/],
  ['root = ["/a"]', /root: wants an absolute path, not a list/],
  ['images = 5', /images: is a table: write \[images\]/],
  ['listen = "tcp://0.0.0.0:1"', /listen: wants an address unix/],
  ['metrics.address = "localhost:9464"', /metrics\.address: wants "", a socket as unix:\/\/\/path, or an IP address/],
  [
    'metrics.address = "0.0.0.0:9464"',
    /metrics\.address: 0\.0\.0\.0:9464 is not of the loopback: set metrics\.allow_remote/,
  ],
  [`listen = "unix:///${'a'.repeat(107)}"`, /listen: .*108 bytes, a socket's can have 107/],
  [`state = "/${'a'.repeat(96)}"`, /state: .*97 bytes; 96 are allowed/],
  ['state = "/var/lib/berth/state"', /root and state: .* must be apart/],
  ['registry.stall_seconds = "60s"', /wants a whole number of seconds from 1 to 3600, not "60s"/],
  ['registry.stall_seconds = 0', /from 1 to 3600, not 0/],
  ['registry.stall_seconds = 1.5', /not 1\.5/],
  ['registry.stall_seconds = 99999999999999999999', /stall_seconds|integer|range/i],
  ['registry.plain_http = ["http://a"]', /without http:\/\/ and path, not "http:\/\/a"/],
  ['registry.plain_http = ["a:70000"]', /plain_http: wants/],
  ['registry.plain_http = ["a", "a"]', /plain_http: has a twice/],
  ['registry.plain_http = "a"', /wants a list of hosts/],
  ['runtime_handlers = ["Runc"]', /runtime_handlers: wants the name of a runtime handler/],
  ['images.pinned = "a"', /wants a list of image names/],
  ['images.pinned = ["a b*"]', /images.pinned: "a b\*": has a character/],
  ['images.pinned = ["a/Upper"]', /images.pinned: "a\/Upper": .*lower case/],
  ['network.bin_dirs = ["/a", "b"]', /bin_dirs: wants an absolute path, not "b"/],
  ['network.embedded_subnet = "10.0.0.0/24"', /embedded_subnet: wants/],
  ['network.embedded_subnet = "10.0.0.0/16,10.1.0.0/16"', /embedded_subnet: wants/],
  ['network.embedded_subnet = "10.0.0.1/16"', /embedded_subnet: wants a range without host bits, not 10\.0\.0\.1/],
  [
    'network.embedded_subnet = "10.0.0.0/16,::ffff:10.0.0.0/104"',
    /embedded_subnet: wants an IPv6 range .* not ::ffff:10/,
  ],
  ['network.embedded_subnet = "10.0.0.0/16,::ffff:a00:0/104"', /embedded_subnet: wants an IPv6 range .*not of IPv4/],
  ['network.embedded_subnet = "10.0.0.0/16,fd00::1/64"', /embedded_subnet: wants an IPv6 range .*host bits/],
  ['network.embedded_bridge = "a-name-that-is-too-long"', /embedded_bridge: wants/],
  ['network.embedded_bridge = "../x"', /embedded_bridge: wants/],
  ['network.conf_template = "net.template"', /conf_template: wants an absolute path/],
  [
    'network.conf_template = "/t"\nnetwork.embedded_subnet = "10.0.0.0/16"',
    /embedded_subnet: set beside network\.conf_t/,
  ],
  ['cgroup.parent = "/a/../.."', /cgroup\.parent: wants/],
  ['cgroup.parent = "berth"', /cgroup\.parent: wants/],
  ['cgroup.parent = "a--b.slice"', /cgroup\.parent: wants .*is not the name of a systemd slice/],
  ['cgroup.parent = "_x.slice"', /cgroup\.parent: wants .*is not the name of a systemd slice/],
  ['cgroup.parent = "/cgroup.x"', /cgroup\.parent: wants .*begins with "cgroup\."/],
  ['cgroup.parent = "/x.slice/y"', /cgroup\.parent: wants/],
  ['cgroup.parent = "/b.slice/a-b.slice"', /cgroup\.parent: wants .*is at \/a\.slice\/a-b\.slice/],
  ['cgroup.parent = "/berth"\ncgroup.driver = "systemd"', /cgroup\.parent: \/berth is no parent .*give a slice/],
  ['cgroup.parent = "a.slice"\ncgroup.driver = "cgroupfs"', /cgroup\.parent: a\.slice is no parent .*give a path/],
  ['metrics.address = "unix:///run/berth/berth.sock"', /metrics\.address: .* is what listen has/],
  ['metrics.address = "unix:///run/x/..//berth/berth.sock"', /metrics\.address: .* is what listen has/],
  ['listen = "unix:///run/berth/http.sock"', /metrics\.address: .* is what listen has/],
  ['state = "/s"\nlisten = "unix:///s/./local.sock"', /listen: .* is berthd's own local\.sock/],
  ['metrics.address = "unix:///run/berth/fwd.sock"', /metrics\.address: .* is berthd's own fwd\.sock/],
  ['metrics.address = "127.0.0.1:9464"\nstreaming.port = 9464', /metrics\.address: .* streaming\.port listen/],
  ['streaming.address = "0.0.0.0"\nstreaming.port = 9464\nmetrics.address = "127.0.0.1:9464"', /metrics\.address: /],
  ['"limits.pids" = 5', /"limits\.pids": unknown key/],
  ['regstry.plain_http = []', /regstry\.plain_http: unknown key; did you mean registry\.plain_http\?/],
  ['regstry = { plain_http = [] }', /regstry\.plain_http: unknown key; did you mean registry\.plain_http\?/],
  ['[registry]\nmirrors.x = 1', /registry\.mirrors\.x: unknown key/],
  ['[registry]\nmirrors = {}', /registry\.mirrors: unknown key/],
  ['root = { path = "/a" }', /root\.path: unknown key/],
  ['root = {}', /root: wants an absolute path, not a table/],
  ['streams = {}', /streams: unknown key/],
  ['exec.output_limit = "16 megs"', /output_limit: wants bytes/],
  ['exec.output_limit = "16MB"', /output_limit: wants bytes/],
  ['exec.output_limit = "1GiB"', /output_limit: wants from 65536 to 16777216 bytes/],
  ['exec.output_limit = 1.5', /output_limit: wants bytes/],
  ['streaming.address = "localhost"', /streaming\.address: wants an IP address, not "localhost"/],
  ['streaming.port = 70000', /streaming\.port: wants/],
  ['streaming.tls_cert = "cert.pem"', /tls_cert: wants an absolute path/],
  ['streaming.tls_cert = "/cert.pem"', /tls_cert and streaming\.tls_key: one is set without the other/],
  ['streaming.tls_client_ca = "/ca.pem"', /tls_client_ca: set without streaming\.tls_cert/],
  ['seccomp.default = "strict"', /seccomp\.default: .*"builtin" is the other choice/],
  ['limits.nofile_soft = 4096\nlimits.nofile_hard = 1024', /nofile_soft: 4096 is more than limits\.nofile_hard, 1024/],
];
for (const [text, pattern] of wrong)
  test(`refused: ${text.replaceAll('\n', '; ').slice(0, 60)}`, (t) => {
    t.regex(errorOf(text), pattern);
  });

test('what fits is taken: sizes with units, ranges, hosts, slices', (t) => {
  const config = parseConfig(
    `root = "/data/"
    exec.output_limit = "4MiB"
    network.embedded_subnet = "10.88.0.0/16, fd00::/64"
    registry.plain_http = ["127.0.0.1:5000", "[::1]:5000", "registry.local"]
    cgroup.parent = "berth.slice"
    seccomp.default = "/etc/berth/profile.json"`,
    'c',
  );
  t.is(config.root, '/data');
  t.is(config.exec.output_limit, 4 << 20);
  t.is(config.network.embedded_subnet, '10.88.0.0/16,fd00::/64');
  t.deepEqual(config.registry.plain_http, ['127.0.0.1:5000', '[::1]:5000', 'registry.local']);
});

test('flags stand above the file, and the socket follows the state directory', async (t) =>
  withDir(
    async ({ path }) => {
      const file = join(path, 'c.toml');
      await writeFile(file, 'root = "/file-root"\nstate = "/file-state"\nlog_level = "warn"\n');
      const { outcome } = await run('--config', file, '--state', '/flag-state', '--log-level=debug');
      t.like(outcome, {
        kind: 'run',
        loaded: {
          config: {
            root: '/file-root',
            state: '/flag-state',
            listen: 'unix:///flag-state/berth.sock',
            log_level: 'debug',
          },
        },
      });
      const listening = await run('--config', file, '--listen', 'unix:///elsewhere.sock');
      t.like(listening.outcome, { loaded: { config: { listen: 'unix:///elsewhere.sock' } } });
    },
    { unsafeCleanup: true },
  ));

test('a wrong flag value is told by the flag', async (t) => {
  const error = t.throws(() => parseConfig('', 'c', { log_level: 'loud', root: 'x' }), { instanceOf: BerthError });
  t.is(
    error.message,
    '--log-level: wants one of debug, info, warn, error, not "loud"\n--root: wants an absolute path, not "x"',
  );
  t.like(await run('--config', '/dev/null'), {
    outcome: { status: 1 },
    error: 'berthd: read /dev/null: not a regular file\n',
  });
});

test('--help, --version and config default print and end with 0', async (t) => {
  t.regex((await run('--help')).out, /^berthd: .*\n\nusage: /);
  t.regex((await run('--version')).out, /^berthd \d+\.\d+\.\d+\n$/);
  const { outcome, out } = await run('config', 'default');
  t.deepEqual(outcome, { kind: 'done', status: 0 });
  t.is(out, defaultFile());
});

test('unknown options and commands end with 2 and point to --help', async (t) => {
  for (const argv of [
    ['--rooot', '/x'],
    ['--root'],
    ['serve'],
    ['config'],
    ['config', 'chek', 'f'],
    ['--root', '--state'],
  ]) {
    const { outcome, error } = await run(...argv);
    t.like(outcome, { kind: 'done', status: 2 }, argv.join(' '));
    t.regex(error, /^berthd: .*see berthd --help\n$/);
  }
});

test('config check names the file and each line, and a missing file is an error', async (t) =>
  withDir(
    async ({ path }) => {
      const file = join(path, 'c.toml');
      await writeFile(file, 'rot = "/x"\n');
      t.like(await run('config', 'check', file), {
        outcome: { status: 1 },
        error: `berthd: ${file}:1: rot: unknown key; did you mean root?\n`,
      });
      await writeFile(file, 'root = "/x"\n');
      t.like(await run('config', 'check', file), { outcome: { status: 0 }, out: `${file}: no errors\n` });
      t.regex((await run('config', 'check', join(path, 'none'))).error, /none: there is no such file/);
      await writeFile(file, Buffer.from([0x72, 0xff]));
      t.regex((await run('config', 'check', file)).error, /c\.toml: not UTF-8/);
      await writeFile(file, Buffer.alloc((1 << 20) + 1, '#'));
      t.regex((await run('config', 'check', file)).error, /1048577 bytes, limit 1048576/);
    },
    { unsafeCleanup: true },
  ));
