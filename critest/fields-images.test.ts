// Images: what images.test.ts and bad-registry.test.ts do not look at. docs/cri.tsv names these tests.
import { stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { image, layer } from './harness/image.ts';
import { names } from './harness/images.ts';
import { startTestRegistry, type TestRegistry } from './harness/own-registry.ts';
import { runPod } from './harness/pods.ts';
import { fails, removePods } from './harness/suite.ts';

// The registry is in this process, so the daemon is in the machine's network; its pods are on it as well.
let daemon: TestDaemon;
let registry: TestRegistry;

test.before('berthd and a registry', async () => {
  registry = await startTestRegistry();
  daemon = await TestDaemon.start({
    network: 'none',
    hostNetwork: true,
    config: { registry: { plain_http: ['127.0.0.1'] } },
  });
});

test.after.always(async () => {
  await removePods(daemon);
  await daemon?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

const made = image([layer([{ name: 'file', data: 'x' }])], { Env: ['A=b'], Labels: { maker: 'berth' } });
const named = (repository: string) => ({ image: `${registry.host}/${repository}:1` });

test('an image is told with its id as its spec, and is not pinned', async (t) => {
  const { images } = await daemon.client.ListImages({});
  const { image: told } = await daemon.client.ImageStatus({ image: { image: names.busybox } });
  t.deepEqual(images, [told]);
  t.is(told?.spec?.image, told?.id);
  t.is(told?.pinned, false);
});

test('the verbose status of an image has the keys that scripts read from containerd', async (t) => {
  registry.add('1', made, 'verbose');
  await daemon.client.PullImage({ image: named('verbose') });
  t.deepEqual((await daemon.client.ImageStatus({ image: named('verbose') })).info, {});
  const { info } = await daemon.client.ImageStatus({ image: named('verbose'), verbose: true });
  const { chainID, imageSpec } = JSON.parse(info.info ?? '');
  const document = JSON.parse(made.blobs.get(made.id)?.toString() ?? '');
  t.deepEqual(imageSpec, document, 'the whole document, as it was pulled');
  t.is(imageSpec.config.Env[0], 'A=b');
  t.is(chainID, imageSpec.rootfs.diff_ids[0], 'of one layer the two are the same');
  // A configuration that went bad on disk is told as far as the record knows it, and a status takes nothing away.
  const blob = daemon.world.path('root/images/blobs/sha256', made.id.slice(7));
  const size = (await stat(blob)).size;
  await writeFile(blob, '{}'.padEnd(size));
  const { info: kept } = await daemon.client.ImageStatus({ image: named('verbose'), verbose: true });
  t.like(JSON.parse(kept.info ?? ''), { chainID, imageSpec: { config: { Env: ['A=b'], Labels: { maker: 'berth' } } } });
  t.is((await stat(blob)).size, size);
  await daemon.client.RemoveImage({ image: named('verbose') });
});

test('an identity token is exchanged at the registry’s token endpoint, and a server_address keeps it from other hosts', async (t) => {
  await using realm = await startTestRegistry();
  registry.add('1', made, 'identity');
  const forms: string[] = [];
  const exchange = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const form = await text(request);
    forms.push(form);
    if (form.includes('refresh_token=')) response.end(JSON.stringify({ access_token: 'fresh' }));
    else response.writeHead(401).end();
  };
  realm.behave((request, response) => void exchange(request, response));
  const challenge = `Bearer realm="http://${realm.host}/token",service="s",scope="repository:identity:pull"`;
  registry.behave((request, response, next) => {
    if (request.headers.authorization === 'Bearer fresh') return next();
    response.writeHead(401, { 'www-authenticate': challenge }).end();
  });
  const identity_token = 'an-identity-token';
  const pull = (auth: object) => daemon.client.PullImage({ image: named('identity'), auth });
  await t.throwsAsync(pull({ identity_token, server_address: 'https://elsewhere.example' }));
  t.false(
    forms.some((form) => form.includes(identity_token)),
    'not its host',
  );
  forms.length = 0;
  t.is((await pull({ identity_token, server_address: `http://${registry.host}/v2/` })).image_ref, made.id);
  t.regex(forms[0] ?? '', /grant_type=refresh_token/);
  t.regex(forms[0] ?? '', /refresh_token=an-identity-token/);
  t.true(registry.requests.every(({ authorization }) => !authorization?.includes(identity_token)));
  registry.behave((_request, _response, next) => next());
  await daemon.client.RemoveImage({ image: named('identity') });
});

test('the pod that an image is pulled for changes nothing but the policy that decides', async (t) => {
  registry.add('1', made, 'for-a-pod');
  const sandbox_config = {
    metadata: { name: 'a', uid: 'b', namespace: 'c', attempt: 1 },
    annotations: { 'io.kubernetes.cri.runtime-handler': 'kata' },
    labels: { d: 'e' },
  };
  const spec = { ...named('for-a-pod'), annotations: { f: 'g' } };
  t.is((await daemon.client.PullImage({ image: spec, sandbox_config })).image_ref, made.id);
  const { image: told } = await daemon.client.ImageStatus({ image: spec });
  t.deepEqual(told?.repo_tags, [named('for-a-pod').image]);
  t.deepEqual((await daemon.client.ListPodSandbox({})).items, []);
  await daemon.client.RemoveImage({ image: spec });
});

test('a runtime handler that is not known is refused by every call for an image', async (t) => {
  const { client } = daemon;
  const spec = { image: names.busybox, runtime_handler: 'kata' };
  const unknown = /runtime_handler "kata" is not known/;
  await fails(t, client.PullImage({ image: spec }), 'invalid-argument', unknown);
  await fails(t, client.ImageStatus({ image: spec }), 'invalid-argument', unknown);
  await fails(t, client.RemoveImage({ image: spec }), 'invalid-argument', unknown);
  await fails(t, client.ListImages({ filter: { image: spec } }), 'invalid-argument', unknown);
  const pod = await runPod(daemon, { linux: { security_context: { namespace_options: { network: 'NODE' } } } });
  await fails(t, pod.create('true', { image: spec }), 'invalid-argument', unknown);
  const known = { ...spec, runtime_handler: 'berth' };
  t.is((await client.ListImages({ filter: { image: known } })).images.length, 1);
  t.truthy((await client.ImageStatus({ image: known })).image);
  const { containers_statuses } = await client.PodSandboxStatus({ pod_sandbox_id: pod.id });
  t.deepEqual(containers_statuses, []);
  const container = await pod.create('true', { image: known });
  t.is((await container.status()).image?.runtime_handler, 'berth');
});
