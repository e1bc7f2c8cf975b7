import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { until } from '../harness/until.ts';
import { Layers, program } from './layers.ts';
import { tar } from './tar.ts';

/** A file system that promises more than the disk below it has, in a mount namespace that goes with the unpacker. */
const unpackOnto = (disk: string): string => `
  mount -t tmpfs -o size=14m tmpfs ${disk}
  truncate -s 64M ${disk}/image
  mkfs.ext4 -q -O ^has_journal ${disk}/image
  mkdir ${disk}/fs
  mount -o loop ${disk}/image ${disk}/fs
  mkdir ${disk}/fs/layer
  exec "$0" unpack --to ${disk}/fs/layer --from "$1"`;

test('an error of the disk in what was written while the layer still came is told at its end', async (t) => {
  await using layers = await Layers.make();
  const disk = join(layers.path, 'disk');
  const address = join(layers.path, 'address');
  await mkdir(disk);
  const stream = tar(Array.from({ length: 20 }, (_, i) => ({ name: `f${i}`, data: randomBytes(1 << 20) })));
  const isFull = async (): Promise<boolean> => {
    const { blocks, bavail } = await statfs(`/proc/${child.pid}/root${disk}`);
    return blocks < 5000 && bavail === 0;
  };
  const server = createServer(async (socket) => {
    socket.on('error', () => {});
    socket.write(stream.subarray(0, -1024));
    await until('the disk is full', isFull).finally(() => socket.end(stream.subarray(-1024)));
  });
  await new Promise<void>((resolve) => server.listen(address, resolve));
  const child = spawn('unshare', ['-m', 'sh', '-ec', unpackOnto(disk), program, address]);
  const ended = once(child, 'exit');
  try {
    t.regex(await text(child.stderr), /^sync: .*\/layer: (?:No space left on device|I\/O error)\n$/);
    t.deepEqual(await ended, [1, null]);
  } finally {
    child.kill('SIGKILL');
    server.close();
  }
});
