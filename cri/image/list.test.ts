import test from 'ava';
import { decode } from '../../api/codec.ts';
import { sha256 } from '../../base/digest.ts';
import type { ImageRecord } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { listImages, streamImages } from './list.ts';

const record = (at: number, words: number): ImageRecord => ({
  id: sha256(`${at}`),
  repoTags: [`registry.example/app:${at}`],
  repoDigests: [],
  size: 1,
  config: { User: '', Env: [], Entrypoint: [], Cmd: [], WorkingDir: '', Volumes: {}, StopSignal: '', Labels: {} },
  layers: [],
  annotations: { words: 'x'.repeat(words) },
  pinned: false,
});

const runtimeWith = (images: readonly ImageRecord[]): Runtime =>
  ({
    config: { runtime_handlers: [] },
    images: { list: () => images, resolve: () => images[0] },
  }) as unknown as Runtime;

test('what images say of themselves never makes a list larger than the kubelet takes', async (t) => {
  const runtime = runtimeWith(Array.from({ length: 1000 }, (_, at) => record(at, 16_300)));
  const { bytes } = listImages(runtime, { filter: undefined });
  t.true(bytes.length < 16 << 20);
  const { images } = decode('ListImagesResponse', bytes);
  t.is(images.length, 1000);
  t.true(
    images.every(({ spec, repo_tags }) => Object.keys(spec?.annotations ?? {}).length === 0 && repo_tags.length === 1),
  );
  const one = decode('ListImagesResponse', listImages(runtimeWith([record(0, 16_300)]), { filter: undefined }).bytes);
  t.is(one.images[0]?.spec?.annotations.words?.length, 16_300);
  let streamed = 0;
  for await (const page of streamImages(runtime, { filter: undefined })) streamed += page.bytes.length;
  t.true(streamed > 16_300_000, 'the stream has all');
});
