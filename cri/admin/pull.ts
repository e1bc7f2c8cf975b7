import type { Input, PullProgress, PullRequest } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { RegistryAuth } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { platformOf, progressMessage } from './progress.ts';
import { relay } from './relay.ts';

type Message = Input<PullProgress>;

/** Fetches an image and tells of each layer as it grows; the last message has the image's id. */
export async function* adminPull(
  runtime: Runtime,
  request: PullRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Message> {
  if (request.image === '') throw invalid('Pull: image is empty');
  const platform = platformOf(request.platform, 'Pull');
  const id = yield* relay<Message, string>((tell) =>
    runtime.images.pull(request.image, authOf(request), {
      signal,
      progress: (event) => tell(event.digest, progressMessage(event)),
      ...(platform === undefined ? {} : { platform }),
    }),
  );
  yield { image_id: id, phase: 'DONE' };
}

const authOf = ({ username, password }: PullRequest): RegistryAuth | undefined =>
  username === '' ? undefined : { username, password };
