import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Input, LoadedImage, LoadRequest } from '../../api/generated/types.ts';
import { errnoOf, notFound, within } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { plain } from '../format.ts';
import { Progress } from '../progress.ts';

/** Bytes a message; the daemon takes 16 MiB at most. */
const portion = 1 << 20;

type Requests = AsyncIterable<Input<LoadRequest>>;
type Head = Input<LoadRequest>;

export const load: Verb = {
  name: 'load',
  usage: '[-i FILE|DIRECTORY] [--name NAME] [--platform OS/ARCH]',
  summary: 'take in images from an archive (OCI layout or docker save) or a layout directory',
  options: [
    ['-i, --input FILE', 'read FILE (tar, also compressed by gzip or zstd) or the directory; default: standard input'],
    ['--name NAME', 'name the image, if there is one; of several take only the one of this name'],
    ['--platform OS/ARCH', "another platform than this machine's"],
  ],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, {
      input: { type: 'string', short: 'i', default: '' },
      name: { type: 'string', default: '' },
      platform: { type: 'string', default: '' },
    });
    const [place = values.input, more] = positionals;
    if (more !== undefined || (positionals.length > 0 && values.input !== ''))
      throw new UsageError('wants one archive or directory');
    const head = { name: values.name, platform: values.platform };
    const { stdin } = context.terminal;
    const progress = new Progress(context.out);
    // Elsewhere than on a terminal it would be a line without news.
    const sent = (offset: number, total: number): void => {
      const bytes = { offset: BigInt(offset), total: BigInt(total) };
      const phase = offset === total ? 'PUSH_DONE' : 'PUSH_UPLOADING';
      if (context.out.tty) progress.show({ digest: 'archive', ...bytes, phase });
    };
    try {
      for (const image of await loaded(context, await requestsFor(place, head, context, sent), progress))
        for (const name of image.names) context.out.write(`${plain(name)}  ${image.image_id}\n`);
    } finally {
      // Who writes there may take its time to end, and nobody waits for more.
      if (place === '' || place === '-') stdin.destroy();
    }
    return 0;
  },
};

type Sent = (offset: number, total: number) => void;

const requestsFor = async (place: string, head: Head, { terminal }: Context, sent: Sent): Promise<Requests> => {
  const { stdin } = terminal;
  if (place === '' && 'isTTY' in stdin && stdin.isTTY === true)
    throw new UsageError('wants an archive: give -i FILE or standard input');
  if (place === '' || place === '-') return sending(head, stdin, 'standard input');
  const info = await stat(place).catch((error: unknown) => {
    throw errnoOf(error) === 'ENOENT' ? notFound(`${place}: there is no such file or directory`) : error;
  });
  // The daemon reads it itself: it may be large, and is the daemon's own machine.
  if (info.isDirectory()) return once({ ...head, path: resolve(place) });
  const tell = (offset: number): void => sent(offset, info.size);
  return sending(head, createReadStream(place, { highWaterMark: portion }), place, tell);
};

async function* once(head: Head): Requests {
  yield head;
}

async function* sending(
  head: Head,
  bytes: AsyncIterable<unknown>,
  what: string,
  tell?: (offset: number) => void,
): Requests {
  yield head;
  let offset = 0;
  try {
    for await (const data of bytes as AsyncIterable<Buffer>) {
      yield { data };
      offset += data.length;
      tell?.(offset);
    }
  } catch (error) {
    throw within(`read ${what}`, error);
  }
}

const loaded = async (
  { client, signal }: Context,
  requests: Requests,
  progress: Progress,
): Promise<readonly LoadedImage[]> => {
  const images: LoadedImage[] = [];
  try {
    for await (const event of client.Load(requests, { signal })) {
      if (event.progress !== undefined) progress.show(event.progress);
      if (event.image !== undefined) images.push(event.image);
    }
  } finally {
    progress.end();
  }
  return images;
};
