import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { names, registryHost } from './harness/images.ts';
import { startRegistry } from './harness/registry.ts';
import { fails } from './harness/suite.ts';

const trusted = '127.0.0.1:5443';
const misnamed = '127.0.0.1:5444';
const pushed = '127.0.0.1:5445';
const bundle = '/etc/ssl/certs/ca-certificates.crt';
const auth = { username: 'berth', password: 'secret' };

let daemon: TestDaemon;
const docker = (config: object): Promise<void> => writeFile(daemon.world.path('config.json'), JSON.stringify(config));
const at = (host: string) => ({ image: { image: names.busybox.replace(registryHost, host) } });

/** A CA and two certificates of it: one for 127.0.0.1, one for another name. */
const makeCertificates = (directory: string): string => `
  set -e; mkdir ${directory}; cd ${directory}
  new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "$@" 2>/dev/null; }
  new -x509 -days 2 -subj '/CN=a test CA' -keyout ca.key -out ca.pem
  for one in right=IP:127.0.0.1 other=DNS:registry.example; do
    name=\${one%%=*}
    new -subj "/CN=$name" -keyout $name.key -out $name.csr
    echo "subjectAltName=\${one#*=}" >$name.ext
    openssl x509 -req -days 2 -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile $name.ext -out $name.pem 2>/dev/null
  done
  cat ${bundle} ca.pem >bundle.pem`;

test.before('two registries with TLS', async () => {
  daemon = await TestDaemon.prepare({ network: 'none' });
  await daemon.configure({
    network: { embedded_subnet: 'none' },
    registry: {
      config_path: [daemon.world.path('certs.d')],
      docker_config: daemon.world.path('config.json'),
      credential_bin_dirs: [daemon.world.path('helpers')],
    },
  });
  await docker({});
  await daemon.boot();
  const { world } = daemon;
  await world.sh(makeCertificates(world.path('tls')));
  const tls = (name: string) => ({ certificate: world.path(`tls/${name}.pem`), key: world.path(`tls/${name}.key`) });
  await startRegistry(world, { address: trusted, tls: tls('right'), password: true });
  await startRegistry(world, { address: misnamed, tls: tls('other') });
  await startRegistry(world, { address: pushed, tls: tls('right'), password: true, writable: true });
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

test('an image goes by TLS to docker-registry with htpasswd, by the password of the call, of config.json or of a helper', async (t) => {
  const { client, world } = daemon;
  const directory = world.path(`certs.d/${pushed}`);
  await mkdir(directory, { recursive: true });
  const ca = JSON.stringify(world.path('tls/ca.pem'));
  await writeFile(join(directory, 'hosts.toml'), `server = "https://${pushed}"\nca = ${ca}\n`);
  await daemon.import([names.layered]);
  const push = async (destination: string, more: object = {}): Promise<string | undefined> => {
    let digest: string | undefined;
    for await (const { manifest_digest } of client.Push({ image: names.layered, destination, ...more }))
      digest = manifest_digest || digest;
    return digest;
  };
  const to = (name: string): string => `${pushed}/team/${name}:1`;
  await fails(t, push(to('nobody')), 'unauthenticated', /asks for credentials and none were given/);
  const digest = await push(to('call'), auth);
  const pair = Buffer.from('berth:secret').toString('base64');
  await docker({ auths: { [pushed]: { auth: pair } } });
  t.is(await push(to('config')), digest);
  await mkdir(world.path('helpers'));
  const helper = `#!/bin/sh\n[ "$(cat)" = ${pushed} ] && echo '{"Username":"berth","Secret":"secret"}'\n`;
  await writeFile(world.path('helpers/docker-credential-own'), helper, { mode: 0o755 });
  await docker({ credHelpers: { [pushed]: 'own' } });
  t.is(await push(to('helper')), digest);
  await docker({});
  const seen = await world.sh(
    `mkdir ca; cp ${world.path('tls/ca.pem')} ca/ca.crt; for name in call config helper; do
       skopeo --insecure-policy inspect --raw --cert-dir ca --creds berth:secret docker://${pushed}/team/$name:1 | sha256sum
     done; rm -r ca`,
  );
  t.deepEqual(
    seen.trim().split('\n'),
    Array.from({ length: 3 }, () => `${digest?.slice(7)}  -`),
  );
  await client.RemoveImage({ image: { image: names.layered } });
  const again = await client.PullImage({ image: { image: `${pushed}/team/helper@${digest}` }, auth });
  await client.RemoveImage({ image: { image: again.image_ref } });
});

test('a registry whose CA the system does not know is refused, and the error names it', async (t) => {
  const message = new RegExp(`${trusted}: its certificate is refused: [^;]*add its CA to those of the system`);
  await fails(t, daemon.client.PullImage(at(trusted)), 'failed-precondition', message);
});

test('with a private CA in hosts.toml docker-registry gives an image by tag and by digest to who knows the password', async (t) => {
  const directory = daemon.world.path(`certs.d/${trusted}`);
  await mkdir(directory, { recursive: true });
  const ca = JSON.stringify(daemon.world.path('tls/ca.pem'));
  await writeFile(
    join(directory, 'hosts.toml'),
    `server = "https://${trusted}"\n[host."https://${trusted}"]\ncapabilities = ["pull", "resolve"]\nca = ${ca}\n`,
  );
  const { image_ref } = await daemon.client.PullImage({ ...at(trusted), auth });
  const { image } = await daemon.client.ImageStatus({ image: { image: image_ref } });
  const [digest = ''] = image?.repo_digests ?? [];
  t.true(digest.startsWith(`${trusted}/berth/busybox@sha256:`), digest);
  await daemon.client.RemoveImage({ image: { image: image_ref } });
  t.is((await daemon.client.PullImage({ image: { image: digest }, auth })).image_ref, image_ref);
  await daemon.client.RemoveImage({ image: { image: image_ref } });
});

test('docker-registry’s password from the node’s config.json is enough, and the request’s own comes before it', async (t) => {
  const pair = Buffer.from('berth:secret').toString('base64');
  await docker({ auths: { [`${trusted}/other`]: { auth: 'eDp5' }, [`https://${trusted}/v2/`]: { auth: pair } } });
  const { image_ref } = await daemon.client.PullImage(at(trusted));
  await daemon.client.RemoveImage({ image: { image: image_ref } });
  const wrong = { username: 'berth', password: 'wrong' };
  await fails(t, daemon.client.PullImage({ ...at(trusted), auth: wrong }), 'unauthenticated', /of the request$/);
  await docker({});
});

test('docker-registry’s refusal of a password or a user is unauthenticated, with its reason and without the password', async (t) => {
  const reason = /answers 401 \(UNAUTHORIZED: authentication required\): it refuses the credentials of the request$/;
  for (const one of [
    { username: 'berth', password: 'wr0ng' },
    { username: 'nobody', password: 'secret' },
  ])
    await fails(t, daemon.client.PullImage({ ...at(trusted), auth: one }), 'unauthenticated', reason);
  await fails(t, daemon.client.PullImage(at(trusted)), 'unauthenticated', /asks for credentials and none were given$/);
  t.notRegex(await daemon.log(), /wr0ng/);
  await rm(daemon.world.path('certs.d'), { recursive: true });
});

test('a CA that is added to the system counts at once, and a password goes over TLS', async (t) => {
  await daemon.world.sh(`mount --bind ${daemon.world.path('tls/bundle.pem')} ${bundle}`);
  await fails(t, daemon.client.PullImage(at(trusted)), 'unauthenticated', /asks for credentials/);
  const { image_ref } = await daemon.client.PullImage({ ...at(trusted), auth });
  t.regex(image_ref, /^sha256:[0-9a-f]{64}$/);
});

test('a certificate for another name is refused, and the error tells both', async (t) => {
  const message = new RegExp(`${misnamed}: its certificate is refused: .*127\\.0\\.0\\.1.*`);
  await fails(t, daemon.client.PullImage(at(misnamed)), 'failed-precondition', message);
});

test('dial_timeout bounds what a mirror that does not answer costs', async (t) => {
  const { world } = daemon;
  // What is sent there is lost without a word.
  await world.sh(`set -e
    ip link add void type veth peer name end; ip link set void up; ip link set end up
    ip addr add 198.51.100.2/24 dev void; ip neigh add 198.51.100.1 lladdr 02:00:00:00:00:01 dev void`);
  await world.sh(`mkdir -p ${world.path('certs.d/void.test')}`);
  const mirror = '[host."https://198.51.100.1"]\ndial_timeout = "150ms"\n';
  const text = `server = "https://${trusted}"\nca = "${world.path('tls/ca.pem')}"\n${mirror}`;
  await writeFile(world.path('certs.d/void.test/hosts.toml'), text);
  await daemon.client.PullImage({ ...at('void.test'), auth: { ...auth, server_address: trusted } });
  t.regex(await daemon.log(), /198\.51\.100\.1 cannot be reached: no connection in 150 ms/);
});

test('on a system without CAs no registry is trusted, and the error says what to install', async (t) => {
  await daemon.world.sh(`touch ${daemon.world.path('none')}; mount --bind ${daemon.world.path('none')} ${bundle}`);
  await fails(t, daemon.client.PullImage(at(misnamed)), 'failed-precondition', /install the package ca-certificates/);
});
