import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import test from 'ava';
import { dir } from 'tmp-promise';
import type { Handlers } from '../api/handlers.ts';
import { serve } from '../api/server.ts';
import { BerthError } from '../base/errors.ts';
import { runCommand } from './command.ts';
import { ownTerminal } from './stream/terminal.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly error: string;
  readonly stdout: Buffer;
}

type Berth = (argv: readonly string[], input?: Buffer, tty?: boolean) => Promise<Ended>;

const withDaemon = async (
  handlers: Handlers,
  action: (berth: Berth, directory: string) => Promise<void>,
): Promise<void> => {
  const { path, cleanup } = await dir({ prefix: 'berth-cli-', unsafeCleanup: true });
  const address = `unix://${path}/s/b.sock`;
  await mkdir(join(path, 's'), { mode: 0o700 });
  const server = await serve(handlers, { address, log: quiet, ready: () => true });
  const berth: Berth = async (argv, input = Buffer.alloc(0), tty = false) => {
    const said = { out: '', error: '' };
    const stdout = new PassThrough();
    const chunks: Buffer[] = [];
    stdout.on('data', (data: Buffer) => chunks.push(data));
    const code = await runCommand(argv, {
      terminal: { ...ownTerminal(), stdin: Readable.from(input.length === 0 ? [] : [input]), stdout },
      address,
      logRoot: join(path, 'logs'),
      out: {
        tty,
        columns: 80,
        write: (data) => {
          said.out += String(data);
        },
        error: (data) => {
          said.error += String(data);
        },
      },
      signal: new AbortController().signal,
    });
    return { code, ...said, stdout: Buffer.concat(chunks) };
  };
  try {
    await action(berth, path);
  } finally {
    await server.close(100);
    await cleanup();
  }
};

const archive = Buffer.alloc(3_000_000, 'archive');

test('load sends a file or standard input, with the name and platform first, and shows each name with its id', async (t) => {
  const asked: unknown[] = [];
  const handlers: Handlers = {
    async *Load(requests) {
      let length = 0;
      for await (const { path, name, platform, data } of requests) {
        if (data.length === 0) asked.push([path, name, platform]);
        length += data.length;
      }
      asked.push(length);
      yield { progress: { digest: `sha256:${'a'.repeat(64)}`, phase: 'DONE', total: 10 } };
      yield { image: { image_id: 'sha256:1', names: ['a:1', 'b:\u001b2'] } };
    },
  };
  await withDaemon(handlers, async (berth, directory) => {
    const file = join(directory, 'a.tar');
    await writeFile(file, archive);
    const shown = 'aaaaaaaaaaaa: done (10 B)\na:1  sha256:1\nb:?2  sha256:1\n';
    t.like(await berth(['load', '-i', file, '--name', 'n:1', '--platform', 'linux/arm64']), { code: 0, out: shown });
    t.like(await berth(['load'], archive), { code: 0, out: shown });
    t.like(await berth(['load', directory]), { code: 0, out: shown });
    const onTerminal = await berth(['load', file], undefined, true);
    t.regex(onTerminal.out, /archive {2}sent +\[=+\] {2}2\.9 MiB\n/);
    t.deepEqual(asked, [
      ['', 'n:1', 'linux/arm64'],
      archive.length,
      ['', '', ''],
      archive.length,
      [directory, '', ''],
      0,
      ['', '', ''],
      archive.length,
    ]);
  });
});

test('load of what is not there, or what the daemon refuses, fails in words', (t) =>
  withDaemon(
    {
      async *Load(requests) {
        for await (const { data } of requests) if (data.length > 0) throw new BerthError('data-loss', 'archive: cut');
        yield {};
      },
    },
    async (berth, directory) => {
      const missing = await berth(['load', '-i', join(directory, 'no.tar')]);
      t.like(missing, { code: 1, error: `berth load: ${directory}/no.tar: there is no such file or directory\n` });
      t.like(await berth(['load'], archive), { code: 1, error: 'berth load: archive: cut\n' });
      t.is((await berth(['load', 'a', 'b'])).code, 2);
      t.is((await berth(['load', 'a', '-i', 'b'])).code, 2);
    },
  ));

test('save writes to standard output, or to a file that gets its name when it is whole', async (t) => {
  const asked: unknown[] = [];
  const handlers: Handlers = {
    async *Save({ images, format }) {
      asked.push([images, format]);
      for (let at = 0; at < archive.length; at += 1_000_000) yield { data: archive.subarray(at, at + 1_000_000) };
      if (images.includes('broken')) throw new BerthError('data-loss', 'blob: wrong');
    },
  };
  await withDaemon(handlers, async (berth, directory) => {
    const file = join(directory, 'a.tar');
    t.true((await berth(['save', 'a', 'b'])).stdout.equals(archive));
    t.like(await berth(['save', '--format', 'docker', '-o', file, 'a']), { code: 0, out: '', error: '' });
    t.true((await readFile(file)).equals(archive));
    await writeFile(file, 'before');
    t.like(await berth(['save', '-o', file, 'broken']), { code: 1, error: 'berth save: blob: wrong\n' });
    t.is(await readFile(file, 'utf8'), 'before');
    t.deepEqual((await readdir(directory)).toSorted(), ['a.tar', 's']);
    t.regex((await berth(['save', '-o', join(directory, 'no/a.tar'), 'a'])).error, /^berth save: write .*ENOENT/);
    t.deepEqual(asked.slice(0, 2), [
      [['a', 'b'], 'FORMAT_OCI'],
      [['a'], 'FORMAT_DOCKER'],
    ]);
    for (const wrong of [['save'], ['save', '--format', 'zip', 'a']]) t.is((await berth(wrong)).code, 2);
  });
});

test('push shows what becomes of each blob, ends with the digest, and says when it is not the whole index', async (t) => {
  const asked: unknown[] = [];
  const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
  const handlers: Handlers = {
    async *Push({ image, destination, username }) {
      asked.push([image, destination, username]);
      yield { digest: digest('a'), total: 10, phase: 'PUSH_WAITING' };
      yield { digest: digest('a'), total: 10, phase: 'PUSH_UPLOADING' };
      yield { digest: digest('a'), offset: 10, total: 10, phase: 'PUSH_DONE' };
      yield { digest: digest('b'), total: 20, phase: 'PUSH_MOUNTED' };
      yield { digest: digest('c'), total: 30, phase: 'PUSH_PRESENT' };
      yield { manifest_digest: digest('d'), one_platform: destination !== '', phase: 'PUSH_DONE' };
    },
  };
  await withDaemon(handlers, async (berth) => {
    const shown = [
      'aaaaaaaaaaaa: sending (10 B)',
      'aaaaaaaaaaaa: sent (10 B)',
      'bbbbbbbbbbbb: taken over (20 B)',
      'cccccccccccc: is there already (30 B)',
      digest('d'),
      '',
    ];
    t.like(await berth(['push', 'a']), { code: 0, out: shown.join('\n'), error: '' });
    const part = await berth(['push', 'a', 'b.example/c:1']);
    t.regex(part.error, /^berth: of its index only this machine's part is here/);
    t.deepEqual(asked, [
      ['a', '', ''],
      ['a', 'b.example/c:1', ''],
    ]);
    t.is((await berth(['push'])).code, 2);
    t.is((await berth(['push', '--user', 'x', 'a'])).code, 2);
  });
});
