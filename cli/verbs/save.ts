import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { open, rename, rm, stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import type { Input, SaveRequest, SaveResponse } from '../../api/generated/types.ts';
import { BerthError, codeOf, messageOf, orMissing } from '../../base/errors.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';

type Answers = AsyncIterable<SaveResponse>;

const formats: Readonly<Record<string, Input<SaveRequest>['format']>> = {
  oci: 'FORMAT_OCI',
  docker: 'FORMAT_DOCKER',
};

export const save: Verb = {
  name: 'save',
  usage: '[-o FILE] [--format oci|docker] IMAGE...',
  summary: 'write images to an archive that other tools read',
  options: [
    ['-o, --output FILE', 'write to FILE; default: standard output'],
    [
      '--format oci|docker',
      'oci (default): an OCI image layout that docker load reads too; docker: only for the latter',
    ],
  ],
  run: async (argv, { client, signal, terminal }) => {
    const { values, positionals: images } = parse(argv, {
      output: { type: 'string', short: 'o', default: '' },
      format: { type: 'string', default: 'oci' },
    });
    const format = formats[values.format];
    if (images.length === 0) throw new UsageError('wants an image');
    if (format === undefined) throw new UsageError(`--format: oci or docker, not ${JSON.stringify(values.format)}`);
    const { stdout } = terminal;
    if (values.output === '' && 'isTTY' in stdout && stdout.isTTY === true)
      throw new UsageError('an archive is nothing for a terminal: give -o FILE, or a pipe');
    const answers = client.Save({ images, format }, { signal });
    if (values.output === '' || values.output === '-') await writeTo(stdout, answers);
    else await writeFile(values.output, answers);
    return 0;
  },
};

const writeTo = async (stdout: Writable, answers: Answers): Promise<void> => {
  for await (const { data } of answers) if (!stdout.write(data)) await once(stdout, 'drain');
};

interface Target {
  readonly path: string;
  /** What is written to: `path`, or a file beside it. */
  readonly place: string;
  readonly isPlain: boolean;
}

/** Gets its name when it is whole. What is no file, such as a pipe, is written to as it is. */
const writeFile = async (path: string, answers: Answers): Promise<void> => {
  const there = await orMissing(stat(path));
  const isPlain = there === undefined || there.isFile();
  const place = isPlain ? `${path}.${randomBytes(6).toString('hex')}.tmp` : path;
  try {
    await fill({ path, place, isPlain }, answers);
    if (isPlain) await rename(place, path);
  } catch (error) {
    if (isPlain) await rm(place, { force: true });
    throw error;
  }
};

const fill = async ({ path, place, isPlain }: Target, answers: Answers): Promise<void> => {
  const writing = (error: unknown): never => {
    // By the name that was given: Node tells that of the file beside it.
    const cause = messageOf(error).replace(/, \w+(?: '.*')?$/s, '');
    throw new BerthError(codeOf(error), `write ${path}: ${cause}`, { cause: error });
  };
  // 0600: an image may hold what is not for everybody.
  const file = await open(place, isPlain ? 'wx' : 'w', 0o600).catch(writing);
  try {
    for await (const { data } of answers) await file.writeFile(data).catch(writing);
    if (isPlain) await file.sync().catch(writing);
  } finally {
    await file.close();
  }
};
