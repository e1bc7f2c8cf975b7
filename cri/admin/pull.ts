import type { Input, PullProgress, PullRequest } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Platform, Progress, RegistryAuth } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';

const phases = { waiting: 'WAITING', fetching: 'DOWNLOADING', done: 'DONE' } as const;
type Message = Input<PullProgress>;

/**
 * Fetches an image and tells of each layer as it grows; the last message has the image's id. A client that reads slowly
 * gets the newest state of each layer, not a queue of old ones.
 */
export async function* adminPull(
  runtime: Runtime,
  request: PullRequest,
  call: { readonly signal: AbortSignal },
): AsyncGenerator<Message> {
  if (request.image === '') throw invalid('Pull: image is empty');
  const latest = new Map<string, Message>();
  let wake = Promise.withResolvers<void>();
  const progress = (event: Progress): void => {
    latest.set(event.digest, toMessage(event));
    wake.resolve();
  };
  const platform = platformOf(request.platform);
  const options = { signal: call.signal, progress, ...(platform === undefined ? {} : { platform }) };
  let id: string | undefined;
  const pull = runtime.images.pull(request.image, authOf(request), options).then((done) => {
    id = done;
    wake.resolve();
  });
  const failed = pull.then(() => new Promise<never>(() => {}));
  while (id === undefined) {
    await Promise.race([wake.promise, failed]);
    wake = Promise.withResolvers<void>();
    yield* drain(latest);
  }
  yield* drain(latest);
  yield { image_id: id, phase: 'DONE' };
}

function* drain(latest: Map<string, Message>): Generator<Message> {
  const messages = [...latest.values()];
  latest.clear();
  yield* messages;
}

const toMessage = ({ digest, offset, total, phase }: Progress): Message => ({
  digest,
  offset: BigInt(offset),
  total: BigInt(total),
  phase: phases[phase],
});

const authOf = ({ username, password }: PullRequest): RegistryAuth | undefined =>
  username === '' ? undefined : { username, password };

const platformOf = (text: string): Platform | undefined => {
  if (text === '') return undefined;
  const [os = '', architecture = '', variant, ...more] = text.split('/');
  if (os === '' || architecture === '' || more.length > 0)
    throw invalid(`Pull: platform ${JSON.stringify(text)} is not os/architecture or os/architecture/variant`);
  return { os, architecture, ...(variant === undefined ? {} : { variant }) };
};
