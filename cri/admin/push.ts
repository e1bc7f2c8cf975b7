import type { Input, PushProgress, PushRequest } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { PushEvent, Pushed } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { relay } from './relay.ts';

type Message = Input<PushProgress>;

const phases = {
  waiting: 'PUSH_WAITING',
  uploading: 'PUSH_UPLOADING',
  done: 'PUSH_DONE',
  present: 'PUSH_PRESENT',
  mounted: 'PUSH_MOUNTED',
} as const;

/** Sends an image to a registry and tells of each blob as it goes; the last message has the manifest's digest. */
export async function* adminPush(
  runtime: Runtime,
  { image, destination, username, password }: PushRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Message> {
  if (image === '') throw invalid('Push: image is empty');
  const auth = username === '' ? undefined : { username, password };
  const { digest, isPart } = yield* relay<Message, Pushed>((tell) =>
    runtime.images.push(image, destination === '' ? image : destination, auth, {
      signal,
      report: (event) => tell(event.digest, messageOf(event)),
    }),
  );
  yield { manifest_digest: digest, one_platform: isPart, phase: 'PUSH_DONE' };
}

const messageOf = ({ digest, offset, total, phase }: PushEvent): Message => ({
  digest,
  offset: BigInt(offset),
  total: BigInt(total),
  phase: phases[phase],
});
