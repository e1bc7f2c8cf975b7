import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { BerthError } from '../base/errors.ts';

/** sun_path holds 108 bytes with its last zero. */
const longestPath = 107;

/** Connects to a bundle's shim.sock. Errors: of the directory, `unavailable`; all others come as the socket's. */
export const connectShim = (bundle: string): Socket => {
  const path = join(bundle, 'shim.sock');
  return Buffer.byteLength(path) <= longestPath ? connect(path) : throughDirectory(bundle);
};

/** A longer path does not fit into a socket address: it is reached through a descriptor of its directory. */
const throughDirectory = (bundle: string): Socket => {
  const directory = openSync(bundle, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const short = `/proc/self/fd/${directory}`;
    if (readlinkSync(short) !== bundle) throw new BerthError('unavailable', 'the bundle was replaced');
    // node:net connects a path before it returns
    return connect(`${short}/shim.sock`);
  } finally {
    closeSync(directory);
  }
};
