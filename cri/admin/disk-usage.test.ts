import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import type { Runtime } from '../runtime.ts';
import { adminDiskUsage } from './disk-usage.ts';

const none = { count: 0, bytes: 0, inodes: 0 };

test('what removed containers have left is told beside the rest, and what goes under the count keeps nothing from being told', (t) =>
  withDir(
    async ({ path: root }) => {
      await mkdir(join(root, 'images'));
      const run = async ({ argv }: { readonly argv: readonly string[] }) => {
        const isGoing = argv.at(-1) === '/going';
        const stdout = Buffer.from(isGoing ? '' : 'bytes 4096\ninodes 3\n');
        return { code: isGoing ? 1 : 0, signal: 0, stdout, stderr: Buffer.alloc(0) };
      };
      const images = { sharedLayers: none, uniqueLayers: none, blobs: none, partial: none, garbage: none, images: [] };
      const runtime = {
        config: { root },
        agent: { run },
        containers: { values: () => [] },
        containersDisk: { isApart: false },
        removedLayers: { behind: ['/a', '/going', '/b'] },
        images: { disk: async () => images, prunable: async () => ({ bytes: 0 }) },
      } as unknown as Runtime;
      const usage = (signal: AbortSignal) => adminDiskUsage(runtime, {}, { signal });
      const { shares = [] } = await usage(new AbortController().signal);
      t.deepEqual(
        shares.find(({ kind }) => kind === 'REMOVED'),
        { kind: 'REMOVED', count: 3n, bytes: 8192n, inodes: 6n },
      );
      await t.throwsAsync(usage(AbortSignal.abort(new Error('the caller has gone'))), {
        message: 'the caller has gone',
      });
    },
    { unsafeCleanup: true },
  ));
