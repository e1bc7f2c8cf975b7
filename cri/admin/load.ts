import type { Input, LoadRequest, LoadResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import { platformOf, progressMessage } from './progress.ts';
import { relay } from './relay.ts';

type Message = Input<LoadResponse>;

/** Takes in images from an archive that the client sends, or from a directory of this machine. */
export async function* adminLoad(
  runtime: Runtime,
  requests: AsyncIterable<LoadRequest>,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Message> {
  const iterator = requests[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) throw invalid('Load: the first message says what is to be loaded; there is none');
  const { path, name, platform: wished } = first.value;
  if (path !== '' && !path.startsWith('/')) throw invalid(`Load: path ${JSON.stringify(path)} is not absolute`);
  const platform = platformOf(wished, 'Load');
  if (path !== '' && first.value.data.length > 0) throw invalid('Load: a path and bytes at once');
  const from = path === '' ? bytesOf(first.value, iterator) : path;
  const loaded = yield* relay<Message, Awaited<ReturnType<Runtime['images']['load']>>>((tell) =>
    runtime.images.load(from, name === '' ? undefined : name, {
      signal,
      progress: (event) => tell(event.digest, { progress: progressMessage(event) }),
      ...(platform === undefined ? {} : { platform }),
    }),
  );
  for (const { id, names, digest } of loaded) yield { image: { image_id: id, names, digest } };
}

async function* bytesOf(first: LoadRequest, rest: AsyncIterator<LoadRequest>): AsyncGenerator<Buffer> {
  for (let request = first; ; ) {
    const { data } = request;
    if (data.length > 0) yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const next = await rest.next();
    if (next.done === true) return;
    request = next.value;
    if (request.path !== '' || request.name !== '' || request.platform !== '')
      throw invalid('Load: only the first message may have more than bytes');
  }
}
