import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { BerthError } from '../base/errors.ts';
import { TestDaemon } from './harness/daemon.ts';
import { type Image, image, layer } from './harness/image.ts';
import { startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { fails } from './harness/suite.ts';

// The registry is in this process, so the daemon is in the machine's network; it makes no pods there.
let daemon: TestDaemon;
let registry: TestRegistry;
let made: Image;
/** Whom the registry lets in, by repository. */
const allowed = new Map<string, string>();
/** What no error, log or environment may show. */
const secret = 'SeCrEt-of-a-helper';

const path = (name: string): string => daemon.world.path(`credentials/${name}`);

test.before('a registry that asks for a password, and a daemon with credentials of its own', async () => {
  registry = await startTestRegistry();
  made = image([layer([{ name: 'file', data: 'x' }])], {});
  registry.behave((request, response, next) => {
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(request.url ?? '')?.[1] ?? '';
    const wanted = allowed.get(repository);
    if (wanted === undefined || request.headers.authorization === wanted) return next();
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  daemon = await TestDaemon.prepare({ network: 'none', hostNetwork: true, images: [] });
  await mkdir(path('bin'), { recursive: true });
  await daemon.configure({
    network: { embedded_subnet: 'none' },
    registry: {
      plain_http: ['127.0.0.1'],
      docker_config: path('config.json'),
      credential_provider_config: path('providers.yaml'),
      credential_bin_dirs: [path('bin')],
    },
  });
  await daemon.boot({ HOST_SECRET: secret });
});

test.beforeEach(async () => {
  await docker({});
  await providers('providers: []');
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const basic = (user: string, password: string): string => `Basic ${pair(user, password)}`;
const pair = (user: string, password: string): string => Buffer.from(`${user}:${password}`).toString('base64');
const docker = (config: object): Promise<void> => writeFile(path('config.json'), JSON.stringify(config));
const providers = (text: string): Promise<void> =>
  writeFile(path('providers.yaml'), `apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n${text}\n`);
/** A program that keeps its stdin and environment, a line a run, and then does what it is told. */
const program = async (name: string, script: string): Promise<void> => {
  const text = `#!/bin/sh\n{ printf '%s ' "$@"; cat; env | sort | tr '\\n' ' '; echo; } >>${path(name)}.runs\n${script}\n`;
  await rm(`${path(name)}.runs`, { force: true });
  await writeFile(path(`bin/${name}`), text);
  await chmod(path(`bin/${name}`), 0o755);
};
const runs = async (name: string): Promise<string[]> =>
  (await readFile(`${path(name)}.runs`, 'utf8').catch(() => '')).split('\n').filter(Boolean);
/** A repository that lets in who shows this. */
const guarded = (repository: string, authorization: string): string => {
  allowed.set(repository, authorization);
  registry.add('1', made, repository);
  return repository;
};
const pull = async (repository: string, auth = {}): Promise<void> => {
  await daemon.client.PullImage({ image: { image: `${registry.host}/${repository}:1` }, auth });
  await daemon.client.RemoveImage({ image: { image: made.id } });
};
/** The message of the error for a repository that lets in nobody whom the daemon knows. */
const refused = async (t: ExecutionContext, repository: string): Promise<string> => {
  const error = await t.throwsAsync(pull(guarded(repository, basic('somebody', 'else'))), { instanceOf: BerthError });
  t.is(error?.code, 'unauthenticated');
  return error?.message ?? '';
};
/** What was shown for the repository, in order, without repetition. */
const shown = (repository: string): unknown[] => [
  ...new Set(
    registry.requests.filter((one) => one.path.includes(`/${repository}/`)).map(({ authorization }) => authorization),
  ),
];

test.serial('a pull without credentials has those of the Docker configuration, the longest path first', async (t) => {
  await docker({
    auths: {
      [`http://${registry.host}/v1/`]: { auth: pair('host', 'h') },
      [`${registry.host}/team/app`]: { username: 'app', password: 'a' },
      [`${registry.host}/team`]: { auth: pair('team', 't') },
      [`${registry.host}/te`]: { auth: pair('te', 't') },
      'other.example': { auth: pair('other', 'o') },
    },
  });
  await pull(guarded('team/app', basic('app', 'a')));
  await pull(guarded('team/other', basic('team', 't')));
  await pull(guarded('lone', basic('host', 'h')));
  t.deepEqual(shown('team/app'), [undefined, basic('app', 'a')]);
  t.deepEqual(shown('team/other'), [undefined, basic('team', 't')]);
  t.deepEqual(shown('lone'), [undefined, basic('host', 'h')]);
});

test.serial('of several that match each is tried until one is taken, and an error tells them all', async (t) => {
  await docker({
    auths: {
      [registry.host]: { auth: pair('host', 'h') },
      [`${registry.host}/several`]: { auth: pair('stale', secret) },
    },
  });
  await pull(guarded('several/good', basic('host', 'h')));
  t.deepEqual(shown('several/good'), [undefined, basic('stale', secret), basic('host', 'h')]);
  const message = await refused(t, 'several/bad');
  const sources = `${registry.host}/several in ${path('config.json')}, and of ${registry.host} in ${path('config.json')}`;
  t.true(message.includes(`refuses the credentials of ${sources}`), message);
});

test.serial('the credentials of the request are the only ones for that pull', async (t) => {
  await docker({ auths: { [registry.host]: { auth: pair('host', 'h') } } });
  const auth = { username: 'me', password: 'wrong' };
  await fails(t, pull(guarded('own', basic('host', 'h')), auth), 'unauthenticated', /credentials of the request/);
  t.deepEqual(shown('own'), [undefined, basic('me', 'wrong')]);
  // For another host they are not of this pull.
  await pull('own', { ...auth, server_address: 'other.example' });
});

test.serial('a helper is asked for its host alone, and gets nothing of the daemon', async (t) => {
  await program('docker-credential-keys', `echo '{"ServerURL":"x","Username":"helped","Secret":"${secret}"}'`);
  await docker({ credHelpers: { [registry.host]: 'keys', 'other.example': 'never' } });
  await pull(guarded('helped', basic('helped', secret)));
  const [line = '', ...more] = await runs('docker-credential-keys');
  t.deepEqual(more, []);
  t.true(line.startsWith(`get ${registry.host}`), line);
  const names = [...line.slice(`get ${registry.host}`.length).matchAll(/(\w+)=/g)].map(([, name]) => name);
  t.deepEqual(names.filter((name) => !['PWD', 'SHLVL', '_', 'OLDPWD'].includes(name ?? '')).sort(), ['HOME', 'PATH']);
});

test.serial('a store that has nothing for the host leaves the pull to nobody', async (t) => {
  await program('docker-credential-store', 'echo "credentials not found in native keychain"; exit 1');
  await docker({ credsStore: 'store', auths: { [registry.host]: {} } });
  t.regex(await refused(t, 'nobody'), /: it asks for credentials and none were given$/);
  t.is((await runs('docker-credential-store')).length, 1);
});

const provider = (name: string, more = '', match = '127.0.0.1:*'): string => `providers:
- name: ${name}
  matchImages: ["${match.replace('*', registry.host.split(':')[1] ?? '')}"]
  defaultCacheDuration: 1h
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  ${more}`;
const response = (more: object, user = 'plugged'): string =>
  `cat <<'.'\n${JSON.stringify({
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderResponse',
    auth: { [registry.host]: { username: user, password: secret } },
    ...more,
  })}\n.`;

test.serial("a plugin of the kubelet's gets its request, its arguments and its environment", async (t) => {
  await program('plugin', response({ cacheKeyType: 'Image', cacheDuration: '0s' }));
  await providers(provider('plugin', 'args: [get, "-v"]\n  env:\n  - name: ITS_OWN\n    value: "a value"'));
  await pull(guarded('plug/one', basic('plugged', secret)));
  const [line = ''] = await runs('plugin');
  const request = {
    apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
    kind: 'CredentialProviderRequest',
    image: `${registry.host}/plug/one`,
  };
  t.true(line.startsWith(`get -v ${JSON.stringify(request)}`), line);
  t.regex(line, /ITS_OWN=a value /);
  t.notRegex(line, /HOST_SECRET/);
});

const ways: readonly (readonly [object, readonly string[], number])[] = [
  [{ cacheKeyType: 'Image' }, ['cache/a', 'cache/a', 'cache/b'], 2],
  [{ cacheKeyType: 'Registry' }, ['cache/a', 'cache/a', 'cache/b'], 1],
  [{ cacheKeyType: 'Global', cacheDuration: '5m0s' }, ['cache/a', 'cache/b'], 1],
  [{ cacheKeyType: 'Global', cacheDuration: '0s' }, ['cache/a', 'cache/a'], 2],
  [{ cacheKeyType: 'Registry', cacheDuration: '1ms' }, ['cache/a', 'cache/a'], 2],
];
for (const [more, repositories, expected] of ways)
  test.serial(
    `a plugin whose answer says ${JSON.stringify(more)} runs ${expected} times for ${repositories.join(', ')}`,
    async (t) => {
      await program('caching', response(more));
      // Another text, so that nothing is kept from the case before.
      await providers(`${provider('caching')}\n# ${JSON.stringify(more)}`);
      for (const repository of repositories) await pull(guarded(repository, basic('plugged', secret)));
      t.is((await runs('caching')).length, expected);
    },
  );

test.serial('a plugin is not asked for images that it does not match', async (t) => {
  await program('picky', response({ cacheKeyType: 'Image' }));
  for (const match of ['*.example', '127.0.0.1', `${registry.host}/other`, '*:5000']) {
    await providers(provider('picky', '', match));
    await fails(t, pull(guarded('picky', basic('plugged', secret))), 'unauthenticated', /none were given$/);
  }
  t.deepEqual(await runs('picky'), []);
});

/** The pull is refused, the error says why, and nothing anywhere shows the secret. */
const tells = async (t: ExecutionContext, repository: string, message: RegExp): Promise<void> => {
  const told = await refused(t, repository);
  t.regex(told, message);
  t.false(told.includes(secret), told);
  t.false((await daemon.log()).includes(secret));
};

test.serial('a helper that fails is named with how it ended, and nothing that it has written', async (t) => {
  const scripts: readonly (readonly [string, RegExp])[] = [
    [
      `echo ${secret}; echo ${secret} >&2; exit 3`,
      /docker-credential-bad: ends with 3; see: echo .* \| docker-credential-bad get/,
    ],
    [`echo '{"Username": "a", "Secret": ${secret}'`, /docker-credential-bad: its answer is no JSON object/],
    [`echo '{"Username": "a", "Secret": {"${secret}": 1}}'`, /docker-credential-bad: its answer is no JSON object/],
    [`kill -9 $$`, /docker-credential-bad: ends with 137/],
    [
      `echo '{"Username":"a","Secret":"'; head -c 3000000 /dev/zero | tr '\\0' x; echo '"}'`,
      /its answer is no JSON object/,
    ],
  ];
  await docker({ credHelpers: { [registry.host]: 'bad' } });
  for (const [script, message] of scripts) {
    await program('docker-credential-bad', script);
    await tells(t, 'failing', message);
  }
  await rm(path('bin/docker-credential-bad'));
  await tells(t, 'failing', /docker-credential-bad: no such program in /);
  await docker({ credHelpers: { [registry.host]: '../bad' } });
  await tells(t, 'failing', /is not the name of a program/);
});

test.serial('a plugin that fails is named, and the other one is asked as well', async (t) => {
  const bad: readonly (readonly [string, RegExp])[] = [
    [`echo ${secret} >&2; exit 1`, /bad-plugin: ends with 1/],
    [`echo '${secret}'`, /the answer of bad-plugin is no JSON object/],
    [response({ cacheKeyType: 'Node' }), /cacheKeyType that is not Image, Registry or Global/],
    [response({ cacheKeyType: 'Image', kind: 'Other' }), /is no CredentialProviderResponse/],
    [
      response({ cacheKeyType: 'Image', apiVersion: 'credentialprovider.kubelet.k8s.io/v1beta1' }),
      /no CredentialProviderResponse of/,
    ],
  ];
  for (const [script, message] of bad) {
    await program('bad-plugin', script);
    await providers(provider('bad-plugin'));
    await tells(t, 'failing', message);
  }
  await program('good-plugin', response({ cacheKeyType: 'Image', cacheDuration: '0s' }));
  await providers(`${provider('bad-plugin')}\n${provider('good-plugin').replace('providers:\n', '')}`);
  await pull(guarded('plug/two', basic('plugged', secret)));
});

test.serial('a file that cannot be read is named and holds up no public pull', async (t) => {
  registry.add('1', made, 'public');
  await writeFile(path('config.json'), `{"auths": {"x": {"auth": "${secret}"`);
  await tells(t, 'failing', /config\.json: not a JSON object/);
  await docker({ auths: { [registry.host]: { auth: Buffer.from(secret).toString('base64') } } });
  await tells(t, 'failing', /config\.json: auths\["127\.0\.0\.1:\d+"\] cannot be used/);
  await rm(path('config.json'));
  await tells(t, 'failing', /config\.json: no such file/);
  await docker({});
  await providers('providers:\n- name: x\n  matchImages: &anchor []');
  await tells(t, 'failing', /providers\.yaml: line 5 /);
  await providers(provider('x', 'tokenAttributes:\n    serviceAccountTokenAudience: a'));
  await tells(t, 'failing', /only the kubelet has service account tokens/);
  await pull('public');
});
