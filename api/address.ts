import { isAbsolute } from 'node:path';
import { invalid } from '../base/errors.ts';

/** sun_path has 108 bytes, the last one zero. */
export const longestSocketPath = 107;

export const defaultAddress = 'unix:///run/berth/berth.sock';

/** The socket's path in `unix:///path`; a bare absolute path is taken as well. Throws `invalid-argument`. */
export const socketPath = (address: string): string => {
  const path = address.startsWith('unix://') ? address.slice('unix://'.length) : address;
  if (!isAbsolute(path) || path.endsWith('/') || path.includes('\0'))
    throw invalid(`address ${JSON.stringify(address)}: not of the form unix:///absolute/path`);
  const bytes = Buffer.byteLength(path);
  if (bytes > longestSocketPath)
    throw invalid(`address ${address}: the path has ${bytes} bytes, a socket's can have ${longestSocketPath}`);
  return path;
};
