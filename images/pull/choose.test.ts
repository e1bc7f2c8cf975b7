import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { notFound } from '../../base/errors.ts';
import { chooseImage } from './choose.ts';

const never = new AbortController().signal;
const wanted = [{ os: 'linux', architecture: 'amd64' }];

test('an index whose entries say no mediaType is refused with that as its reason', async (t) => {
  const entry = { digest: sha256('x'), size: 1, platform: { os: 'linux', architecture: 'amd64' } };
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [entry, entry] }));
  const root = { bytes, mediaType: 'application/vnd.oci.image.index.v1+json', digest: sha256(bytes) };
  const fetch = async (): Promise<never> => {
    throw notFound('nothing is asked for');
  };
  await t.throwsAsync(chooseImage(root, wanted, fetch, never), {
    code: 'not-found',
    message: /no image for linux\/amd64; it has no platform; 2 of its entries have no mediaType, and are left out$/,
  });
});
