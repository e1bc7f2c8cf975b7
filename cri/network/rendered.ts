import { join } from 'node:path';
import { digestParts, sha256 } from '../../base/digest.ts';
import { BerthError, messageOf } from '../../base/errors.ts';
import { isTemporary, makeDirectory, namesIn, readLimited, removeTree, writeAtomic } from '../../base/files.ts';
import { findConfig, parseConflist } from './conflist.ts';
import { zeroV4, zeroV6 } from './embedded.ts';
import type { PodCidr } from './pod-cidr.ts';
import { renderTemplate } from './template.ts';
import type { NetworkConfig, NetworkLog } from './types.ts';

/** Sorts where containerd's own does, and any other name that people give to what shall count before it. */
const fileName = '10-berth-net.conflist';
const sizeLimit = 1 << 20;

const readTemplate = async (path: string): Promise<string> => {
  const bytes = await readLimited(path, sizeLimit);
  if (bytes === undefined) throw new BerthError('not-found', `network.conf_template ${path}: no such file`);
  return bytes.toString('utf8');
};

/** The configuration as it would stand in the file; an error names the template. */
const render = async (template: string, cidr: PodCidr): Promise<string> => {
  try {
    const text = renderTemplate(await readTemplate(template), template, {
      PodCIDR: cidr.texts[0] ?? '',
      PodCIDRRanges: cidr.texts,
      Routes: [...(cidr.v4 === undefined ? [] : [zeroV4]), ...(cidr.v6 === undefined ? [] : [zeroV6])],
    });
    parseConflist(text, `${template} with pod CIDR ${cidr.texts.join(',')}`);
    return text;
  } catch (error) {
    const text = `render network configuration: ${messageOf(error)}`;
    throw new BerthError('failed-precondition', text, { cause: error });
  }
};

/** The digests that a file of marks has. */
const marksIn = async (path: string): Promise<readonly string[]> =>
  ((await readLimited(path, 4096))?.toString('utf8') ?? '').split('\n');

/** Each directory has its own: what is written into one says nothing of the file that was left in another. */
const marksOf = (marks: string, { confDir }: NetworkConfig): string =>
  `${marks}-${digestParts(sha256(confDir)).hex.slice(0, 16)}`;

/** What a crash has left of earlier writes. */
const removeHalfWritten = async (directory: string): Promise<void> => {
  const left = (await namesIn(directory)).filter((name) => name.startsWith(`${fileName}.`) && isTemporary(name));
  await Promise.all(left.map((name) => removeTree(join(directory, name))));
};

/**
 * Writes `network.conf_template` with the CIDR into conf_dir, where no configuration is there, or the one that Berth has
 * written so: then it follows. One that somebody else has put there, or changed, stays. `marks-…`, one for each directory, has the
 * digests of what was written there, the last and the one before: a crash leaves one of them. `marks` itself has the last ones of all
 * directories, as the release before this wrote it and reads it.
 */
export const writeRendered = async (
  config: NetworkConfig,
  marks: string,
  cidr: PodCidr,
  log: NetworkLog,
): Promise<void> => {
  const path = join(config.confDir, fileName);
  const found = await findConfig(config.confDir);
  const skip = (why: string): void =>
    log.info({ source: found }, `pod CIDR ${cidr.texts.join(',')}: network.conf_template is not used: ${why}`);
  if (found !== undefined && found !== path) return skip(`${found} is there`);
  const before = await readLimited(path, sizeLimit);
  const own = marksOf(marks, config);
  const known = [...(await marksIn(own)), ...(await marksIn(marks))];
  if (before !== undefined && !known.includes(sha256(before))) return skip(`${path} is another's, or was changed`);
  const text = await render(config.confTemplate, cidr);
  if (before?.toString('utf8') === text) return;
  const digests = [text, ...(before === undefined ? [] : [before])].map(sha256).join('\n');
  for (const file of [own, marks]) await writeAtomic(file, digests);
  await makeDirectory(config.confDir, 0o755);
  await removeHalfWritten(config.confDir);
  await writeAtomic(path, text, { mode: 0o644 });
  log.info({ source: path }, `pod CIDR ${cidr.texts.join(',')}: ${path} written from ${config.confTemplate}`);
};
