import { readFile } from 'node:fs/promises';
import test from 'ava';
import { image, layer, writeLayout } from './harness/image.ts';
import { registryHost, staticShell } from './harness/images.ts';
import { runPod } from './harness/pods.ts';
import { suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();
const busybox = async () => ({ name: 'bin/sh', mode: 0o755, data: await readFile(await staticShell()) });
const directories = ['bin', 'dev', 'proc', 'sys'].map((name) => ({ name: `${name}/`, type: 'directory' }) as const);

test('the root directory of a container has the owner and the mode that the image gives it', async (t) => {
  const name = `${registryHost}/berth/rooted:1`;
  const root = { name: './', type: 'directory', mode: 0o1751, uid: 7, gid: 8 } as const;
  const rooted = image([layer([root, ...directories]), layer([await busybox()])], {});
  const layout = daemon().world.path('layout');
  await writeLayout(layout, new Map([[name, rooted]]));
  await daemon().client.Import({ path: layout, name });
  const pod = await runPod(daemon());
  const { stdout } = await pod.output(['/bin/sh', '-c', 'stat -c "%a %u %g" /'], {
    image: { image: name },
  });
  t.is(stdout, '1751 7 8\n');
  await daemon().client.RemoveImage({ image: { image: name } });
  await daemon().world.sh(`rm -r ${layout}`);
});

test('the root directory of a container is 755 of root when the image says nothing of it', async (t) => {
  const pod = await runPod(daemon());
  const { stdout } = await pod.output('stat -c "%a %u %g" /');
  t.is(stdout, '755 0 0\n');
});

test('an image that has a layer several times, as builders make with empty ones, runs and has what is topmost', async (t) => {
  const name = `${registryHost}/berth/repeated:1`;
  const [empty, shell] = [layer([]), layer([...directories, await busybox()])];
  const say = (text: string) => layer([{ name: 'said', data: text }]);
  const repeated = image([empty, shell, say('first\n'), empty, say('second\n'), say('first\n'), empty], {});
  const layout = daemon().world.path('repeated');
  await writeLayout(layout, new Map([[name, repeated]]));
  await daemon().client.Import({ path: layout, name });
  const pod = await runPod(daemon());
  const { stdout } = await pod.output(['/bin/sh', '-c', 'cat /said'], { image: { image: name } });
  t.is(stdout, 'first\n');
  await daemon().client.RemoveImage({ image: { image: name } });
  await daemon().world.sh(`rm -r ${layout}`);
});
