import { createInterface } from 'node:readline/promises';
import type { PruneProgress } from '../../api/generated/types.ts';
import { type Context, UsageError } from '../context.ts';
import { size } from '../format.ts';
import { imagesTable } from './df.ts';

export interface PruneWish {
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly olderThan: bigint;
}

/** Shows what would go and asks, unless it is told not to; then removes it and tells what is free. */
export const prune = async ({ dryRun, yes, olderThan }: PruneWish, context: Context): Promise<number> => {
  const { client, out, signal } = context;
  const request = { older_than_seconds: olderThan };
  const plan = await collected(client.Prune({ ...request, dry_run: true }, { signal }));
  const images = plan.flatMap(({ image }) => (image === undefined ? [] : [image]));
  const total = plan.at(-1)?.total_bytes ?? 0n;
  if (images.length > 0) out.write(imagesTable(images));
  out.write(`${images.length} images that no container uses; ${size(total)} would be free\n`);
  if (dryRun || (images.length === 0 && total === 0n)) return 0;
  if (!yes && !(await agreed(context))) return 1;
  let last: PruneProgress | undefined;
  for await (const event of client.Prune(request, { signal })) {
    last = event;
    if (event.image !== undefined) out.write(`removed ${event.image.names[0] ?? event.image.id}\n`);
    else if (out.tty && !event.done)
      out.write(`\r\u001b[2Kdeleting: ${size(event.freed_bytes)} of ${size(event.total_bytes)}`);
  }
  out.write(`${out.tty ? '\r\u001b[2K' : ''}freed ${size(last?.freed_bytes ?? 0n)}\n`);
  return 0;
};

const collected = async (events: AsyncIterable<PruneProgress>): Promise<readonly PruneProgress[]> => {
  const all: PruneProgress[] = [];
  for await (const event of events) all.push(event);
  return all;
};

const agreed = async ({ out, signal }: Context): Promise<boolean> => {
  if (!out.tty) throw new UsageError('no terminal to ask on: say --yes, or --dry-run');
  const asking = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await asking.question('remove them? [y/N] ', { signal })).trim());
  } finally {
    asking.close();
  }
};
