// The verification policy over the socket: what a kubelet is told, and a daemon that does not start with a wrong one.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { image, layer } from './harness/image.ts';
import { startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { podConfig, TestPod } from './harness/pods.ts';
import { claim, makeKey, putSignatures, signed, type TestKey } from './harness/signing.ts';
import { fails } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';

let daemon: TestDaemon;
let registry: TestRegistry;
let directory: string;
let key: TestKey;

const made = image([layer([{ name: 'file', data: 'x' }])], {});
const digest = made.manifest.digest;

test.before('a policy, berthd and a registry', async () => {
  registry = await startTestRegistry();
  directory = await mkdtemp('/tmp/bt-policy-');
  key = makeKey(directory, 'key');
  for (const repository of ['signed', 'refused', 'hangs', 'shared']) registry.add('1', made, repository);
  const hangs = join(directory, 'hangs');
  await writeFile(hangs, '#!/bin/sh\nsleep 60 & wait\n');
  await chmod(hangs, 0o755);
  const docker = {
    [`${registry.host}/signed`]: [
      { type: 'sigstoreSigned', keyPath: key.publicFile, signedIdentity: { type: 'matchRepository' } },
    ],
    [`${registry.host}/refused`]: [{ type: 'reject' }],
    [`${registry.host}/hangs`]: [{ type: 'program', path: hangs, timeoutSeconds: 1 }],
  };
  const policy_dir = join(directory, 'namespaces');
  await mkdir(policy_dir);
  const team = { [`${registry.host}/shared`]: docker[`${registry.host}/signed`] };
  const accept = [{ type: 'insecureAcceptAnything' }];
  await writeFile(join(policy_dir, 'team.json'), JSON.stringify({ default: accept, transports: { docker: team } }));
  const policy = join(directory, 'policy.json');
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }], transports: { docker } }));
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    images: [],
    config: { registry: { plain_http: ['127.0.0.1'] }, images: { policy, policy_dir } },
  });
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

const pull = (name: string) => daemon.client.PullImage({ image: { image: `${registry.host}/${name}` } });

test.serial(
  'the kubelet is told SignatureValidationFailed, an image that is signed is pulled, and nothing of a refused one is here',
  async (t) => {
    const told = /^(?:2 UNKNOWN: )?SignatureValidationFailed: pull image .* refuses it: /;
    await fails(t, pull('signed:1'), 'unknown', told);
    await fails(t, pull(`signed@${digest}`), 'unknown', told);
    await fails(t, pull('refused:1'), 'unknown', told);
    await fails(t, pull('hangs:1'), 'unknown', /SignatureValidationFailed: .*hangs: not done in 1 s/);
    t.deepEqual((await daemon.client.ListImages({})).images, []);
    t.is(await daemon.world.sh(`ls ${daemon.world.path('root/images/layers')} | wc -l`), '0\n');
    putSignatures(registry, 'signed', digest, [signed(key, claim(`${registry.host}/signed`, digest))]);
    t.is((await pull('signed:1')).image_ref, made.id);
    await fails(t, pull('refused:1'), 'unknown', told);
    const { image: here } = await daemon.client.ImageStatus({ image: { image: made.id } });
    t.deepEqual(here?.repo_tags, [`${registry.host}/signed:1`]);
  },
);

const namespaced = async (namespace: string): Promise<TestPod> => {
  const config = podConfig(daemon, {
    metadata: { namespace },
    linux: { security_context: { namespace_options: { network: 'NODE' } } },
  });
  const { pod_sandbox_id } = await daemon.client.RunPodSandbox({ config });
  return new TestPod(daemon, pod_sandbox_id, config);
};

test.serial(
  'a namespace with a policy of its own gets no image that this has not let in, whoever pulled it',
  async (t) => {
    const user_specified_image = `${registry.host}/shared:1`;
    const [team, other] = [await namespaced('team'), await namespaced('other')];
    const pullFor = ({ config: sandbox_config }: TestPod) =>
      daemon.client.PullImage({ image: { image: user_specified_image }, sandbox_config });
    const create = (pod: TestPod) => pod.create('true', { image: { image: made.id, user_specified_image } });
    const volume = (pod: TestPod) =>
      pod.create('true', {
        image: { image: signedImage },
        mounts: [{ container_path: '/data', readonly: true, image: { image: made.id, user_specified_image } }],
      });
    const signedImage = `${registry.host}/signed:1`;
    await fails(t, pullFor(team), 'unknown', /^(?:2 UNKNOWN: )?SignatureValidationFailed: .* has no signature/);
    t.is((await pullFor(other)).image_ref, made.id);
    await create(other);
    const refused = /the policy of namespace team has not let it in: .*imagePullPolicy: Always/;
    await fails(t, create(team), 'permission-denied', refused);
    await fails(t, volume(team), 'permission-denied', refused);
    putSignatures(registry, 'shared', digest, [signed(key, claim(`${registry.host}/shared`, digest))]);
    await pullFor(team);
    await create(team);
    await volume(team);
    for (const pod of [team, other]) await pod.remove();
  },
);

test.serial('a daemon whose policy or key is wrong does not start, and says where', async (t) => {
  const policy = join(directory, 'wrong.json');
  const start = async (text: string, words: (config: string) => string[]): Promise<string> => {
    await writeFile(policy, text);
    const config = join(directory, 'config.toml');
    await writeFile(config, `images.policy = "${policy}"\n`);
    const { status, stderr } = await daemon.world.run(join(sourceTree, 'bin/berthd'), words(config), '');
    t.is(status, 1);
    return stderr;
  };
  t.regex(await start('{', (config) => ['config', 'check', config]), /images\.policy: .*wrong\.json: not JSON/);
  const requirement = { type: 'sigstoreSigned', keyPath: '/nowhere.pub' };
  const text = JSON.stringify({ default: [requirement] });
  t.regex(
    await start(text, (config) => ['--config', config]),
    /images\.policy: .*wrong\.json: default\[0\]\.keyPath: \/nowhere\.pub there is no such file/,
  );
});
