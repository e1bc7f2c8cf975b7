import { connect, type Socket } from 'node:net';
import type { CallSettings, Client } from '../../api/client.ts';
import { BerthError, messageOf } from '../../base/errors.ts';

/** How to reach what a URL of the daemon's stands for: undefined, by the URL itself. */
export type Dial = (() => Promise<Socket>) | undefined;

/**
 * Where the daemon asks clients of streams for a certificate, it has a socket for those of its own node. Errors:
 * `failed-precondition` when that cannot be reached.
 */
export const dialOf = async (client: Client, url: string, settings: CallSettings): Promise<Dial> => {
  if (!url.startsWith('https:')) return undefined;
  const { info } = await client.Status({ verbose: true }, settings);
  const { state, clientCa } = configIn(info.config ?? '');
  return clientCa === '' ? undefined : () => connected(`${state}/local.sock`, clientCa);
};

const connected = (path: string, clientCa: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => {
      const why = `berthd wants a certificate of clients (streaming.tls_client_ca is ${clientCa}), but for those that can open this socket`;
      reject(
        new BerthError('failed-precondition', `connect to ${path}: ${messageOf(error)}: ${why}`, { cause: error }),
      );
    });
  });

interface Found {
  readonly state: string;
  readonly clientCa: string;
}

/** Of the daemon's configuration; nothing of it from a daemon that does not tell it. */
const configIn = (text: string): Found => {
  try {
    const { state, streaming } = JSON.parse(text) as {
      readonly state?: unknown;
      readonly streaming?: { readonly tls_client_ca?: unknown };
    };
    return { state: String(state), clientCa: String(streaming?.tls_client_ca ?? '') };
  } catch {
    return { state: '', clientCa: '' };
  }
};
