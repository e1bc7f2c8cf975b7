import { sha256 } from '../../base/digest.ts';
import { type Image, mediaTypes } from './image.ts';

export interface ArtifactLayer {
  readonly data: string | Buffer;
  readonly title?: string;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

const empty = Buffer.from('{}');

/** An OCI artifact as tools make it: the empty config, an artifactType, a layer a file. Its id is its manifest's digest. */
export const artifact = (layers: readonly ArtifactLayer[], more: object = {}): Image => {
  const blobs = layers.map(({ data }) => Buffer.from(data));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      artifactType: 'application/vnd.example.thing',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', size: empty.length, digest: sha256(empty) },
      layers: layers.map(({ title, mediaType = 'text/plain', annotations = {} }, at) => {
        const data = blobs[at] ?? empty;
        const named = title === undefined ? {} : { 'org.opencontainers.image.title': title };
        return { mediaType, size: data.length, digest: sha256(data), annotations: { ...named, ...annotations } };
      }),
      ...more,
    }),
  );
  const digest = sha256(manifest);
  return {
    id: digest,
    manifest: { mediaType: mediaTypes.manifest, size: manifest.length, digest },
    blobs: new Map([...blobs, empty, manifest].map((blob) => [sha256(blob), blob])),
  };
};
