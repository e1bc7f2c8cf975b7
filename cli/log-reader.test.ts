import { appendFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { contentOf } from './log-lines.ts';
import { followLog, readLog } from './log-reader.ts';

const line = (text: string, tag = 'F', stream = 'stdout'): string =>
  `2026-11-22T04:32:43.123456789Z ${stream} ${tag} ${text}\n`;

const inFile = (action: (path: string) => Promise<void>): Promise<void> =>
  withDir(({ path }) => action(join(path, '0.log')), { prefix: 'berth-log-', unsafeCleanup: true });

const all = async (lines: AsyncIterable<Parameters<typeof contentOf>[0]>): Promise<string> => {
  let text = '';
  for await (const one of lines) text += contentOf(one).toString();
  return text;
};

test('parts of a long line are joined and an empty line stays one', (t) =>
  inFile(async (path) => {
    await writeFile(path, line('a'.repeat(5), 'P') + line('b') + line('') + line('c'));
    t.is(await all(readLog(path)), 'aaaaab\n\nc\n');
  }));

test('bytes that are not UTF-8 come out as they went in', (t) =>
  inFile(async (path) => {
    await writeFile(
      path,
      Buffer.concat([Buffer.from('2026-11-22T04:32:43Z stdout F '), Buffer.from([0xff, 0x80, 10])]),
    );
    for await (const one of readLog(path)) t.deepEqual(contentOf(one), Buffer.from([0xff, 0x80, 10]));
  }));

test('a line that is no log line is shown as it is, and half a line is not shown', (t) =>
  inFile(async (path) => {
    await writeFile(path, `garbage\n${line('x')}2026-11-22T04`);
    t.is(await all(readLog(path)), 'garbage\nx\n');
  }));

test('following shows what is written before the end is known, and ends', (t) =>
  inFile(async (path) => {
    await writeFile(path, line('one'));
    let asked = 0;
    const ended = async (): Promise<boolean> => {
      asked += 1;
      if (asked > 1) await appendFile(path, line(`${asked}`));
      return asked === 3;
    };
    t.is(await all(followLog(path, ended)), 'one\n2\n3\n');
  }));

test('following from the last lines shows those and what comes, and a long line is one', (t) =>
  inFile(async (path) => {
    await writeFile(path, line('one') + line('two') + line('thr', 'P') + line('ee'));
    let asked = 0;
    const ended = async (): Promise<boolean> => {
      asked += 1;
      await appendFile(path, line(`${asked}`));
      return asked === 2;
    };
    t.is(await all(followLog(path, ended, 1)), 'three\n1\n2\n');
    t.is(await all(followLog(path, async () => true, 0)), '');
  }));

test('a rotation loses no line', (t) =>
  inFile(async (path) => {
    await writeFile(path, '');
    let [ended, text, expected] = [false, '', ''];
    const reading = (async () => {
      for await (const one of followLog(path, async () => ended)) text += contentOf(one).toString();
    })();
    for (let round = 0; round < 5; round += 1) {
      for (let at = 0; at < 200; at += 1) {
        await appendFile(path, line(`${round}-${at}`));
        expected += `${round}-${at}\n`;
      }
      await rename(path, `${path}.${round}`);
      await writeFile(path, line(`${round} is rotated`));
      expected += `${round} is rotated\n`;
      // a file that is rotated away before anybody has opened it is not read
      for (let look = 0; look < 2000 && !text.endsWith(`${round} is rotated\n`); look += 1) await sleep(5);
    }
    ended = true;
    await reading;
    t.is(text, expected);
  }));

test('a log that is not there and a link in its place are errors', (t) =>
  inFile(async (path) => {
    await t.throwsAsync(all(readLog(path)), { message: /is not there/ });
    await symlink('/etc/passwd', path);
    await t.throwsAsync(all(readLog(path)), { code: 'ELOOP' });
  }));
