import { isUtf8 } from 'node:buffer';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError, errnoOf, messageOf, within } from '../../../base/errors.ts';
import { namesIn, readLimited } from '../../../base/files.ts';
import { type HostsFile, parseHostsFile } from './file.ts';
import { plainTable } from './table.ts';

const longest = 1 << 20;

/**
 * What the first of the directories says about a registry: its hosts.toml, or Docker's certificate files where there is
 * none; undefined where no directory speaks of it. `host_port_`, `host:port`, then `_default`, as containerd looks.
 */
export const readHostDirectory = async (roots: readonly string[], host: string): Promise<HostsFile | undefined> => {
  for (const root of roots)
    for (const name of namesOf(host)) {
      const directory = join(root, name);
      if (await isDirectory(directory)) return readDirectory(directory);
    }
  return undefined;
};

const namesOf = (host: string): readonly string[] => {
  const match = /^(.+):(\d+)$/.exec(host);
  return [...(match === null ? [] : [`${match[1]}_${match[2]}_`]), host, '_default'];
};

const isDirectory = async (path: string): Promise<boolean> => {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return false;
    throw within('read the configuration of a registry', error);
  }
  throw new BerthError('failed-precondition', `${path}: not a directory`);
};

const readDirectory = async (directory: string): Promise<HostsFile> => {
  const path = join(directory, 'hosts.toml');
  const bytes = await readLimited(path, longest).catch((error: unknown) => {
    throw new BerthError('failed-precondition', messageOf(error), { cause: error });
  });
  if (bytes === undefined || bytes.length === 0) return readCertificateFiles(directory);
  if (!isUtf8(bytes)) throw new BerthError('failed-precondition', `${path}: not UTF-8`);
  return parseHostsFile(bytes.toString('utf8'), path);
};

/** As Docker has them: `*.crt` are CAs, `NAME.cert` and `NAME.key` a client's certificate and its key. */
const readCertificateFiles = async (directory: string): Promise<HostsFile> => {
  const names = (await namesIn(directory)).toSorted();
  const at = (name: string): string => join(directory, name);
  const ca = names.filter((name) => name.endsWith('.crt')).map((name) => ({ where: at(name), value: at(name) }));
  const client = names
    .filter((name) => name.endsWith('.cert'))
    .map((certificate) => {
      const key = certificate.replace(/cert$/, 'key');
      const value = { certificate: at(certificate), key: at(names.includes(key) ? key : certificate) };
      return { where: at(certificate), value };
    });
  const lone = names.filter((name) => name.endsWith('.key') && !names.includes(name.replace(/key$/, 'cert')));
  const warnings = lone.map((name) => `${at(name)}: there is no ${name.replace(/key$/, 'cert')} beside it, not used`);
  return { hosts: [{ ...plainTable, ca, client }], warnings };
};
