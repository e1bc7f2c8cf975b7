import { BerthError } from '../../base/errors.ts';
import type { Limit } from '../limit.ts';
import type { RemoteTools } from '../pull/remote.ts';
import { nameOf, type Reference } from '../reference.ts';
import { endpointsOf } from '../registry/hosts/endpoints.ts';
import type { Keyring } from '../registry/keyring.ts';
import { retryPolicy } from '../registry/temporary.ts';
import { Destination } from './destination.ts';
import { type PushEvent, type Pushed, pushImage } from './push.ts';
import { type UploadSizes, uploadSizes } from './upload.ts';

export interface UploadTools extends RemoteTools {
  /** Blobs that are sent at once, over all pushes. */
  readonly uploads: Limit;
  readonly sizes: UploadSizes | undefined;
}

export interface UploadWish {
  /** A name or id of an image that is here. */
  readonly image: string;
  readonly reference: Reference;
  readonly keyring: Keyring;
  readonly signal: AbortSignal;
  readonly report: (event: PushEvent) => void;
}

/** Pushes to the first host that the configuration lets images be pushed to, at this moment. */
export const pushRemote = async (tools: UploadTools, wish: UploadWish): Promise<Pushed> => {
  const { reference, keyring } = wish;
  const { store, keepBlobs, uploads: limit, sizes = uploadSizes, retries: policy = retryPolicy } = tools;
  const endpoints = await endpointsOf(tools.registry, reference.host, tools.log);
  const endpoint = endpoints.find(({ capabilities }) => capabilities.has('push'));
  if (endpoint === undefined)
    throw new BerthError('failed-precondition', `${nameOf(reference)}: no host in hosts.toml has the capability push`);
  const to = new Destination(tools.transport, endpoint, reference.repository, keyring);
  return pushImage({ store, keepBlobs, limit, sizes, policy }, { ...wish, to });
};
