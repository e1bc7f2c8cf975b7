import test from 'ava';
import { type Method, methods } from '../api/methods.ts';
import { BerthError } from '../base/errors.ts';
import { Fuzzer } from './harness/fuzz.ts';
import { names } from './harness/images.ts';
import { idle, podConfig, runPod } from './harness/pods.ts';
import { removePods, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({ ignore: /files: . \.\/(root\/images|root\/cni|run)/ });
const [trap = '', wait = ''] = idle.split('; ', 2);
const seed = 20261122;
const rounds = 25;

/** These change the world of the test itself: an import reads any path, a pull goes to any host. */
const left = /^(Pull|Import|Load|Save|Push|Prune)/;

type Any = (request: unknown, settings: { readonly timeoutMs: number }) => unknown;

/** The error of one call, `undefined` for an answer. */
const call = async (method: Method, request: unknown): Promise<unknown> => {
  const remote = daemon().client[method.name] as Any;
  try {
    const answer = remote(request, { timeoutMs: 20_000 });
    if (method.stream) for await (const _ of answer as AsyncIterable<unknown>) break;
    else await answer;
    return undefined;
  } catch (error) {
    return error;
  }
};

const isBad = (error: unknown): boolean =>
  !(error instanceof BerthError) || ['internal', 'unknown', 'data-loss', 'deadline-exceeded'].includes(error.code);

/** Ids and names of what is there; what an earlier request removed is made again. */
const knownWords = async (): Promise<readonly string[]> => {
  await daemon().import([names.busybox]);
  const pod = await runPod(daemon());
  const [container, created] = [await pod.run(`${trap}; echo ready; ${wait}`), await pod.create(idle)];
  // The first process of a pid namespace is not reached by a signal that it does not handle: a stop would take its time.
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  return [
    pod.id,
    container.id,
    created.id,
    names.busybox,
    pod.config.metadata?.name ?? '',
    daemon().world.path('logs'),
    'sh',
    '/tmp',
    'ro',
  ];
};

for (const method of methods.filter(
  ({ name, stream }) => !left.test(name) && !(stream && name === 'GetContainerEvents'),
))
  test.serial(`${method.name} answers ${rounds} odd requests in words, never with internal or unknown`, async (t) => {
    const fuzzer = new Fuzzer(seed, await knownWords());
    for (let i = 0; i < rounds; i += 1) {
      const request = fuzzer.request(method.request);
      const error = await call(method, request);
      if (error !== undefined && isBad(error))
        t.fail(
          `${error instanceof Error ? error.message : String(error)}: ${JSON.stringify(request, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).slice(0, 2000)}`,
        );
    }
    await daemon().client.Version({});
    await removePods(daemon());
    t.pass();
  });

/** Valid but for one field that a fuzzer chose: what comes past the first check. */
test.serial(
  'CreateContainer of a good request with odd parts answers in words, and what starts can be removed',
  async (t) => {
    const pod = await runPod(daemon());
    const fuzzer = new Fuzzer(seed, [...(await knownWords()), '/etc', '/dev/null', 'CAP_CHOWN', '1000']);
    for (let i = 0; i < 80; i += 1) {
      const odd = fuzzer.request('ContainerConfig');
      const config = { ...odd, metadata: { name: `fuzz-${i}` }, image: { image: names.busybox }, log_path: '' };
      const keys = Object.keys(odd).filter((key) => !['metadata', 'image', 'log_path'].includes(key));
      const kept = keys[fuzzer.below(keys.length)];
      for (const key of keys) if (key !== kept) Reflect.deleteProperty(config, key);
      const request = { pod_sandbox_id: pod.id, config: { command: ['true'], ...config }, sandbox_config: pod.config };
      const failed = await daemon()
        .client.CreateContainer(request as never)
        .then(
          ({ container_id }) =>
            daemon()
              .client.StartContainer({ container_id })
              .then(
                () => undefined,
                (error: unknown) => error,
              ),
          (error: unknown) => error,
        );
      if (failed !== undefined && isBad(failed))
        t.fail(
          `${String(failed)}: ${JSON.stringify(config, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).slice(0, 2000)}`,
        );
    }
    await pod.remove();
    t.pass();
  },
);

test.serial('RunPodSandbox of a good request with odd parts answers in words', async (t) => {
  const fuzzer = new Fuzzer(seed, ['ok', 'net.ipv4.ip_forward', '1', daemon().world.path('logs'), 'kernel.shmmax']);
  for (let i = 0; i < 100; i += 1) {
    const odd = fuzzer.request('PodSandboxConfig');
    const keys = Object.keys(odd).filter((key) => key !== 'metadata');
    const kept = keys[fuzzer.below(keys.length)] ?? 'hostname';
    const config = { ...podConfig(daemon()), [kept]: odd[kept] };
    const failed = await daemon()
      .client.RunPodSandbox({ config: config as never })
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    if (failed !== undefined && isBad(failed))
      t.fail(
        `${String(failed)}: ${kept} ${JSON.stringify(odd[kept], (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).slice(0, 2000)}`,
      );
    if (i % 10 === 0) await removePods(daemon());
  }
  t.pass();
});
