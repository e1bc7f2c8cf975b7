import test from 'ava';
import { parseHostsFile } from './file.ts';
import { durationOf } from './values.ts';

const path = '/etc/berth/certs.d/registry.example/hosts.toml';
const all = ['pull', 'resolve', 'push', 'referrers'];

/** One line a host: what differs from a host that nothing is said of. */
const hosts = (text: string): unknown[] =>
  parseHostsFile(text, path).hosts.map(({ base, capabilities, ca, client, skipVerify, headers, dialMs }) => ({
    base: base?.href,
    ...([...capabilities].join() !== all.join() && { capabilities: [...capabilities] }),
    ...(ca.length > 0 && { ca: ca.map(({ value }) => value) }),
    ...(client.length > 0 && { client: client.map(({ value }) => [value.certificate, value.key]) }),
    ...(skipVerify && { skipVerify }),
    ...(Object.keys(headers).length > 0 && { headers }),
    ...(dialMs !== undefined && { dialMs }),
  }));
const registry = { base: undefined };

/** As they are written in containerd's documentation, in those of mirrors and caches, and on nodes. */
const files: readonly (readonly [what: string, text: string, expected: readonly unknown[]])[] = [
  ['an empty file', '', [registry]],
  ['comments and white space', '# nothing\n\n', [registry]],
  ['a byte order mark and CRLF', '\ufeffserver = "https://a.example"\r\n', [{ base: 'https://a.example/v2/' }]],
  [
    'the first example of containerd’s documentation, which names Docker Hub by its name',
    'server = "https://docker.io"\n\n[host."https://registry-1.docker.io"]\n  capabilities = ["pull", "resolve"]\n',
    [
      { base: 'https://registry-1.docker.io/v2/', capabilities: ['pull', 'resolve'] },
      { base: 'https://registry-1.docker.io/v2/' },
    ],
  ],
  [
    'a public mirror and one of our own, with a CA beside the file',
    `server = "https://registry-1.docker.io"    # Exclude this to not use upstream
[host."https://public-mirror.example.com"]
  capabilities = ["pull"]
[host."https://docker-mirror.internal"]
  capabilities = ["pull", "resolve"]
  ca = "docker-mirror.crt"`,
    [
      { base: 'https://public-mirror.example.com/v2/', capabilities: ['pull'] },
      {
        base: 'https://docker-mirror.internal/v2/',
        capabilities: ['pull', 'resolve'],
        ca: ['/etc/berth/certs.d/registry.example/docker-mirror.crt'],
      },
      { base: 'https://registry-1.docker.io/v2/' },
    ],
  ],
  [
    'a mirror by address with plain HTTP and skip_verify all the same',
    '[host."http://192.168.31.250:5000"]\ncapabilities = ["pull", "resolve", "push"]\nskip_verify = true',
    [{ base: 'http://192.168.31.250:5000/v2/', capabilities: ['pull', 'resolve', 'push'], skipVerify: true }, registry],
  ],
  [
    'every form of ca and client',
    `ca = "/etc/certs/default.pem"
[host."https://one"]
ca = ["/etc/certs/test-1-ca.pem", "special.pem"]
client = [["/etc/certs/client.cert", "/etc/certs/client.key"], ["/etc/certs/client.pem", ""]]
[host."https://two"]
client = "/etc/certs/client.pem"
[host."https://three"]
client = ["client-1.pem", "/etc/certs/client-2.pem"]`,
    [
      {
        base: 'https://one/v2/',
        ca: ['/etc/certs/test-1-ca.pem', '/etc/berth/certs.d/registry.example/special.pem'],
        client: [
          ['/etc/certs/client.cert', '/etc/certs/client.key'],
          ['/etc/certs/client.pem', '/etc/certs/client.pem'],
        ],
      },
      { base: 'https://two/v2/', client: [['/etc/certs/client.pem', '/etc/certs/client.pem']] },
      {
        base: 'https://three/v2/',
        client: [
          ['/etc/berth/certs.d/registry.example/client-1.pem', '/etc/berth/certs.d/registry.example/client-1.pem'],
          ['/etc/certs/client-2.pem', '/etc/certs/client-2.pem'],
        ],
      },
      { base: undefined, ca: ['/etc/certs/default.pem'] },
    ],
  ],
  [
    'headers as text and as a list, of hosts and of the registry',
    `server = "registry.example"
[header]
  x-custom-1 = "custom header"
[host."https://mirror"]
  [host."https://mirror".header]
    x-custom-2 = ["value1", "value2"]
    authorization = "Basic dXNlcjpwYXNz"`,
    [
      {
        base: 'https://mirror/v2/',
        headers: { 'x-custom-2': ['value1', 'value2'], authorization: ['Basic dXNlcjpwYXNz'] },
      },
      { base: 'https://registry.example/v2/', headers: { 'x-custom-1': ['custom header'] } },
    ],
  ],
  [
    'paths: a prefix, /v2 already there, slashes, and override_path with and without one',
    `[host."https://a/us"]
[host."https://b/us/v2/"]
[host."https://c//x//"]
[host."https://d/v2/namespaceprefix"]
override_path = true
[host."https://e"]
override_path = true
[host."https://f/artifactory/api/docker/remote"]
override_path = false`,
    [
      { base: 'https://a/us/v2/' },
      { base: 'https://b/us/v2/' },
      { base: 'https://c/x/v2/' },
      { base: 'https://d/v2/namespaceprefix/' },
      { base: 'https://e/' },
      { base: 'https://f/artifactory/api/docker/remote/v2/' },
      registry,
    ],
  ],
  [
    'hosts without a scheme, with ports, and by IPv6 address',
    '[host."mirror.example:5000"]\n[host."[fd00::1]:5000"]\n[host."http://[::1]:80"]\n[host."HTTPS://UP.example:443"]',
    [
      { base: 'https://mirror.example:5000/v2/' },
      { base: 'https://[fd00::1]:5000/v2/' },
      { base: 'http://[::1]/v2/' },
      { base: 'https://up.example/v2/' },
      registry,
    ],
  ],
  [
    'dotted keys and tables in braces',
    `host."https://a".capabilities = ["pull"]
host."https://b" = { capabilities = ["PULL"], header = { x = "1" } }`,
    [
      { base: 'https://a/v2/', capabilities: ['pull'] },
      { base: 'https://b/v2/', capabilities: ['pull'], headers: { x: ['1'] } },
      registry,
    ],
  ],
  [
    'one [host] for all',
    '[host]\n"https://b".skip_verify = true\n"https://a" = {}',
    [{ base: 'https://b/v2/', skipVerify: true }, { base: 'https://a/v2/' }, registry],
  ],
  [
    'hosts in the order of the file, also where one has its header first',
    '[host."https://z".header]\nx = "1"\n[host."https://a"]\n[host."https://z"]\nskip_verify = true\n[host."https://m"]',
    [
      { base: 'https://z/v2/', headers: { x: ['1'] }, skipVerify: true },
      { base: 'https://a/v2/' },
      { base: 'https://m/v2/' },
      registry,
    ],
  ],
  [
    'dial_timeout, and no capability as all of them',
    '[host."https://a"]\ndial_timeout = "1m30s"\ncapabilities = []\n[host."https://b"]\ndial_timeout = ""',
    [{ base: 'https://a/v2/', dialMs: 90_000 }, { base: 'https://b/v2/' }, registry],
  ],
  [
    'the keys of the registry itself without its URL',
    'server = ""\ncapabilities = ["pull"]\nskip_verify = true\ndial_timeout = "500ms"',
    [{ base: undefined, capabilities: ['pull'], skipVerify: true, dialMs: 500 }],
  ],
];

for (const [what, text, expected] of files)
  test(`hosts.toml: ${what}`, (t) => {
    t.deepEqual(hosts(text), [...expected]);
    t.deepEqual(parseHostsFile(text, path).warnings, []);
  });

const wrong: readonly (readonly [text: string, message: RegExp])[] = [
  ['server = \n', /hosts\.toml:2: /],
  ['server = "https://a"\nserver = "https://b"', /hosts\.toml:2: /],
  ['[host."https://a"]\n[host."https://a"]', /hosts\.toml:2: /],
  ['server = 5', /hosts\.toml:1: server: wants a URL, not 5/],
  ['server = ["https://a"]', /server: wants a URL, not a list/],
  ['server = "ftp://a"', /server: wants a URL such as "https:\/\/mirror\.example", not "ftp:\/\/a"/],
  ['[host."https://"]', /host\."https:\/\/": wants a URL/],
  ['[host."http://a b"]', /host\."http:\/\/a b": wants a URL/],
  ['[host."https://user:hunter2@a"]', /hosts\.toml:1: .*a: has a user in its URL; credentials do not belong here/],
  ['[host."https://a?x=1"]', /has a query/],
  [
    '\n\n[host."https://a"]\nskip_verify = "yes"',
    /hosts\.toml:4: host\."https:\/\/a"\.skip_verify: wants true or false/,
  ],
  ['override_path = 1', /override_path: wants true or false, not 1/],
  ['capabilities = "pull"', /capabilities: wants a list of pull, resolve, push, referrers, not "pull"/],
  ['capabilities = ["pull", "fetch"]', /capabilities: wants one of .*, not "fetch"/],
  ['ca = 1', /ca: wants a path or a list of paths, not 1/],
  ['ca = [""]', /ca: wants a path, not ""/],
  ['ca = ["a", ["b"]]', /ca: wants a path, not a list/],
  ['client = [["a"]]', /client: wants pairs of two paths, not 1/],
  ['client = [["a", "b", "c"]]', /client: wants pairs of two paths, not 3/],
  ['client = { cert = "a" }', /client\.cert: client is no table/],
  ['client = [{ cert = "a" }]', /client: .*a table/],
  ['[header]\nx = 1', /hosts\.toml:2: header\.x: wants text or a list of texts, not 1/],
  ['[header]\nx = []', /header\.x: wants text or a list of texts/],
  ['[header]\n"x y" = "1"', /header\."x y": "x y" is no name of a header/],
  ['[header]\nx = "secret\\nInjected: 1"', /^(?!.*secret).*header\.x: has a character that no header may have/],
  ['[header]\nHost = "a"', /header\.Host: is a header that Berth sets itself/],
  ['dial_timeout = "fast"', /dial_timeout: wants a time such as "5s" or "500ms", not "fast"/],
  ['dial_timeout = 5', /dial_timeout: wants a time/],
  ['dial_timeout = "-1s"', /dial_timeout: wants a time/],
  ['dial_timeout = "2h"', /wants a time of an hour at most/],
  ['host = "https://a"', /hosts\.toml:1: host: is a table: write \[host\]/],
  ['header = "x: y"', /header: is a table/],
  ['[[host]]\nurl = "https://a"', /\[\[…\]\] makes a list of tables/],
  ['[host.mirror.example]\ncapabilities = ["pull"]', /host\.mirror\.example: no table of a host .*URLs need quotes/],
  ['[host."https://a"]\n[host."https://a".host."https://b"]', /hosts\.toml:2: .*no table of a host but its header/],
];

for (const [text, message] of wrong)
  test(`hosts.toml is refused: ${JSON.stringify(text)}`, (t) => {
    const error = t.throws(() => parseHostsFile(text, path), { message, code: 'failed-precondition' });
    t.false(error?.message.includes('hunter2'));
  });

test('all that is wrong in a hosts.toml is told at once, up to five', (t) => {
  const text = Array.from({ length: 8 }, (_, at) => `[host."https://${at}"]\nskip_verify = ${at}`).join('\n');
  const error = t.throws(() => parseHostsFile(text, path));
  t.is(error?.message.match(/wants true or false/g)?.length, 5);
  t.regex(error?.message ?? '', /; and 3 more$/);
});

test('keys that hosts.toml does not know are told and not used, as containerd does without a word', (t) => {
  const text = 'sever = "https://a"\n[host."https://b"]\nserver = "https://c"\nskip_verfy = true\n[plugins.x]\ny = 1';
  t.deepEqual(parseHostsFile(text, path).warnings, [
    `${path}:3: host."https://b".server: unknown key, not used`,
    `${path}:4: host."https://b".skip_verfy: unknown key, not used`,
    `${path}:1: sever: unknown key, not used`,
    `${path}:6: plugins.x.y: unknown key, not used`,
    `${path}:5: plugins.x: unknown table, not used`,
  ]);
});

test('durations are read as Go reads them', (t) => {
  const cases: readonly (readonly [string, number | undefined])[] = [
    ['1s', 1000],
    ['1.5s', 1500],
    ['1m30s', 90_000],
    ['100us', 1],
    ['1h', 3_600_000],
    ['0', undefined],
    ['0s', undefined],
    ['', undefined],
  ];
  for (const [text, expected] of cases) t.is(durationOf(text), expected, text);
  for (const text of ['1', 's', '1 s', '1s ', '1d', '1s2', '+1s']) t.throws(() => durationOf(text), undefined, text);
});
