import { BerthError, invalid } from '../base/errors.ts';
import type { Descriptor, ImageManifest } from './manifest.ts';
import { isForeignLayer } from './media-types.ts';

/** A layer of an artifact as the file that it becomes in a volume. */
export interface ArtifactFile {
  /** Below the volume's root, clean: `models/small.bin`. */
  readonly path: string;
  readonly descriptor: Descriptor;
}

/** Where a file's name stands: the image spec's annotation, else the one of the CNCF's model spec (as CRI-O takes them). */
const names = ['org.opencontainers.image.title', 'org.cncf.model.filepath'];
const deepest = 32;

/**
 * The files of an artifact: a layer is one file, by its title. Layers without one cannot be mounted and are left out. Throws
 * invalid-argument for titles that lead out or collide, unimplemented when no file is left.
 */
export const artifactFiles = ({ layers }: ImageManifest, what: string): readonly ArtifactFile[] => {
  const files = layers.flatMap((descriptor) => {
    const title = names.map((name) => descriptor.annotations[name]).find((text) => text !== undefined && text !== '');
    if (title === undefined) return [];
    if (isForeignLayer(descriptor.mediaType))
      throw new BerthError(
        'unimplemented',
        `${what}: layer ${descriptor.digest} is a foreign layer, not in the registry`,
      );
    return [{ path: cleanTitle(title, `${what}: layer ${descriptor.digest}`), descriptor }];
  });
  if (files.length === 0)
    throw new BerthError('unimplemented', `${what}: an artifact without a file to mount: no layer has a ${names[0]}`);
  checkApart(files, what);
  return files;
};

const cleanTitle = (title: string, what: string): string => {
  const bad = (reason: string): BerthError =>
    invalid(`${what}: title ${JSON.stringify(title.slice(0, 200))} ${reason}`);
  if (/\p{Cc}/u.test(title)) throw bad('has a control character');
  if (title.startsWith('/')) throw bad('is an absolute path');
  const parts = title.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw bad('leads out of the volume');
  if (parts.length === 0 || title.endsWith('/')) throw bad('names no file');
  if (parts.length > deepest) throw bad(`has more than ${deepest} directories`);
  if (parts.some((part) => Buffer.byteLength(part) > 255)) throw bad('has a name of more than 255 bytes');
  return parts.join('/');
};

const checkApart = (files: readonly ArtifactFile[], what: string): void => {
  const paths = new Set<string>();
  for (const { path } of files) {
    if (paths.has(path)) throw invalid(`${what}: two layers have the title ${JSON.stringify(path)}`);
    paths.add(path);
  }
  for (const path of paths)
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1))
      if (paths.has(path.slice(0, at)))
        throw invalid(`${what}: ${JSON.stringify(path.slice(0, at))} is a file and a directory`);
};

/** The directories that the files need, each before what is in it. */
export const directoriesOf = (files: readonly ArtifactFile[]): readonly string[] => {
  const found = new Set<string>();
  for (const { path } of files)
    for (let at = path.indexOf('/'); at >= 0; at = path.indexOf('/', at + 1)) found.add(path.slice(0, at));
  return [...found].toSorted();
};
