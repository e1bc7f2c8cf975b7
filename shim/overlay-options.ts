import { invalid } from '../base/errors.ts';
import type { OciMount } from './oci.ts';

/** A read-only overlay in the words of mount(8): what config.json says and what the plan is made from. */
export interface OverlayVolume {
  /** Topmost first. */
  readonly lowers: readonly string[];
  /** Below the root of the layers; "" for all of it. */
  readonly directory: string;
}

const lowerKey = 'lowerdir=';
const directoryKey = 'X-mount.subdir=';

/** Colon, comma and backslash in a path are escaped, as overlayfs reads them. */
export const overlayOptions = ({ lowers, directory }: OverlayVolume): readonly string[] => [
  lowerKey + lowers.map((path) => path.replaceAll(/[\\:,]/g, '\\$&')).join(':'),
  ...(directory === '' ? [] : [directoryKey + directory]),
];

const isOverlayOption = (option: string): boolean => option.startsWith(lowerKey) || option.startsWith(directoryKey);

/** The layers and the directory that the options name, and the options that are left. */
export const readOverlay = ({ destination, options }: OciMount): OverlayVolume & { readonly rest: string[] } => {
  const found = (key: string): string => options.find((option) => option.startsWith(key))?.slice(key.length) ?? '';
  const lowers = found(lowerKey).match(/(?:\\.|[^\\:])+/gs) ?? [];
  if (lowers.length < 2) throw invalid(`mount ${destination}: overlay: lowerdir names fewer than two layers`);
  return {
    lowers: lowers.map((path) => path.replaceAll(/\\(.)/gs, '$1')),
    directory: found(directoryKey),
    rest: options.filter((option) => !isOverlayOption(option)),
  };
};
