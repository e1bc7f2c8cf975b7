import { BerthError } from '../base/errors.ts';
import type { Context } from './context.ts';
import { Progress } from './progress.ts';

export interface PullWish {
  readonly image: string;
  readonly username?: string;
  readonly password?: string;
  readonly platform?: string;
}

/** Fetches an image, shows how far it is, and gives its id. */
export const pullImage = async (
  wish: PullWish,
  { client, out, signal }: Omit<Context, 'terminal'>,
): Promise<string> => {
  const progress = new Progress(out);
  let id = '';
  try {
    for await (const event of client.Pull(wish, { signal })) {
      progress.show(event);
      if (event.image_id !== '') id = event.image_id;
    }
  } finally {
    progress.end();
  }
  if (id === '') throw new BerthError('internal', `pull ${wish.image}: the daemon ended without an image id`);
  return id;
};
