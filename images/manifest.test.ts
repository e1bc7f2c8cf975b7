import test from 'ava';
import { sha256 } from '../base/digest.ts';
import type { BerthError, ErrorCode } from '../base/errors.ts';
import { parseManifest } from './manifest.ts';

const oci = 'application/vnd.oci.image';
const docker = 'application/vnd.docker';
const types = {
  manifest: `${oci}.manifest.v1+json`,
  index: `${oci}.index.v1+json`,
  config: `${oci}.config.v1+json`,
  layer: `${oci}.layer.v1.tar+gzip`,
};
const descriptor = (mediaType: string, more: object = {}) => ({
  mediaType,
  digest: sha256(mediaType),
  size: 7,
  ...more,
});
const manifest = (more: object = {}) => ({
  schemaVersion: 2,
  mediaType: types.manifest,
  config: descriptor(types.config),
  layers: [descriptor(types.layer)],
  ...more,
});
const index = (more: object = {}) => ({ schemaVersion: 2, mediaType: types.index, manifests: [], ...more });

const parse = (value: unknown, declared = '') =>
  parseManifest(Buffer.from(JSON.stringify(value)), declared, 'manifest x');

test('an OCI manifest gives its config and layers', (t) => {
  const parsed = parse(manifest(), types.manifest);
  t.is(parsed.kind, 'manifest');
  if (parsed.kind === 'manifest')
    t.deepEqual(
      parsed.layers.map(({ size }) => size),
      [7],
    );
});

test('a Docker schema 2 manifest and a manifest list are read as well', (t) => {
  const layer = descriptor(`${docker}.image.rootfs.diff.tar.gzip`);
  const config = descriptor(`${docker}.container.image.v1+json`);
  const type = `${docker}.distribution.manifest.v2+json`;
  t.is(parse(manifest({ mediaType: type, config, layers: [layer] }), type).kind, 'manifest');
  const list = `${docker}.distribution.manifest.list.v2+json`;
  t.is(parse(index({ mediaType: list }), list).kind, 'index');
});

test('a document without a media type is told by its content', (t) => {
  t.is(parse(manifest({ mediaType: undefined })).kind, 'manifest');
  t.is(parse(index({ mediaType: undefined }), 'application/json').kind, 'index');
});

test('a platform keeps its variant', (t) => {
  const platform = { os: 'linux', architecture: 'arm', variant: 'v7', 'os.version': '1' };
  const parsed = parse(index({ manifests: [descriptor(types.manifest, { platform })] }));
  t.deepEqual(parsed.kind === 'index' && parsed.manifests[0]?.platform, {
    os: 'linux',
    architecture: 'arm',
    variant: 'v7',
  });
});

test('what has no config of an image, or says that it is something else, is an artifact', (t) => {
  const typeOf = (more: object): string | undefined => {
    const parsed = parse(manifest(more));
    return parsed.kind === 'manifest' ? parsed.artifactType : 'an index';
  };
  t.is(typeOf({}), undefined);
  t.is(typeOf({ config: descriptor('') }), undefined);
  t.is(
    typeOf({ config: descriptor('application/vnd.cncf.helm.config.v1+json') }),
    'application/vnd.cncf.helm.config.v1+json',
  );
  t.is(typeOf({ artifactType: 'application/x', layers: [descriptor('application/wasm')] }), 'application/x');
});

test('a config that an old registry gave a type of its own is that of an image in Docker’s format alone', (t) => {
  for (const type of ['application/octet-stream', 'application/json'])
    for (const [mediaType, expected] of [[`${docker}.distribution.manifest.v2+json`], [types.manifest, type]]) {
      const parsed = parse(manifest({ mediaType, config: descriptor(type) }));
      t.is(parsed.kind === 'manifest' ? parsed.artifactType : 'an index', expected);
    }
});

const refused: readonly (readonly [string, unknown, string, ErrorCode, RegExp])[] = [
  ['a manifest that is an index too', manifest({ manifests: [] }), '', 'invalid-argument', /at once/],
  ['a manifest served as an index', manifest(), types.index, 'invalid-argument', /not that of its content/],
  [
    'an index that calls itself a manifest',
    index({ mediaType: types.manifest }),
    '',
    'invalid-argument',
    /not that of its/,
  ],
  [
    'layers in another case',
    { ...manifest(), Layers: [] },
    '',
    'invalid-argument',
    /"Layers" is a field in another case/,
  ],
  ['a layer without a type', manifest({ layers: [descriptor('')] }), '', 'invalid-argument', /has no mediaType$/],
  [
    'a digest of another algorithm',
    manifest({ layers: [descriptor(types.layer, { digest: 'blake3:00' })] }),
    '',
    'invalid-argument',
    /"blake3:00" is not sha256:<64 hex> or sha512:<128 hex>$/,
  ],
  ['schema 1', { schemaVersion: 1 }, '', 'unimplemented', /schema 1/],
  ['schema 3', manifest({ schemaVersion: 3 }), '', 'invalid-argument', /schemaVersion/],
  ['another media type', manifest({ mediaType: 'text/plain' }), '', 'unimplemented', /not an image/],
  ['a list', [], '', 'invalid-argument', /not a JSON object/],
  ['a manifest without config', manifest({ config: undefined }), '', 'invalid-argument', /no config/],
  ['layers that are no list', manifest({ layers: {} }), '', 'invalid-argument', /layers is not a list/],
  ['a negative size', manifest({ layers: [descriptor(types.layer, { size: -1 })] }), '', 'invalid-argument', /size/],
  [
    'a size with a fraction',
    manifest({ layers: [descriptor(types.layer, { size: 1.5 })] }),
    '',
    'invalid-argument',
    /size/,
  ],
  ['a size as text', manifest({ layers: [descriptor(types.layer, { size: '7' })] }), '', 'invalid-argument', /size/],
  [
    'a size beyond 2^53',
    manifest({ layers: [descriptor(types.layer, { size: 2 ** 60 })] }),
    '',
    'invalid-argument',
    /size/,
  ],
  [
    'sizes that are more than 2^53 together',
    manifest({ layers: [1, 2].map(() => descriptor(types.layer, { size: 2 ** 53 - 1 })) }),
    '',
    'invalid-argument',
    /sizes of its layers are too large/,
  ],
  [
    'a digest that leaves',
    manifest({ config: descriptor(types.config, { digest: 'sha256:../x' }) }),
    '',
    'invalid-argument',
    /digest/,
  ],
  [
    'a foreign layer',
    manifest({ layers: [descriptor(`${oci}.layer.nondistributable.v1.tar`)] }),
    '',
    'unimplemented',
    /foreign/,
  ],
  [
    'an artifact whose type is none',
    manifest({ artifactType: 'a b' }),
    '',
    'invalid-argument',
    /"a b" is not a media type/,
  ],
  [
    'a layer that is no tar',
    manifest({ layers: [descriptor('application/wasm')] }),
    '',
    'unimplemented',
    /application\/wasm/,
  ],
  ['501 layers', manifest({ layers: Array(501).fill(descriptor(types.layer)) }), '', 'unimplemented', /501 layers/],
];

for (const [name, value, declared, code, message] of refused)
  test(`${name} is refused: ${code}`, (t) => {
    const error = t.throws(() => parse(value, declared), { message });
    t.is((error as BerthError).code, code);
  });

test('bytes that are not UTF-8 are refused', (t) => {
  t.throws(() => parseManifest(Buffer.from([0x7b, 0xff, 0x7d]), '', 'manifest x'), { message: /not JSON/ });
});
