// Makes build/quickstart-image/: an OCI image layout with one static program, cli/quickstart/native/hello.c.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'build/quickstart-image');
const program = join(root, 'build/cli/quickstart/hello');
const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch];
const multiarch = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }[process.arch];
const name = 'localhost/berth/hello:1';

const compile = (output) => {
  const strict = '-std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wconversion -Wformat=2 -Wvla'.split(' ');
  const headers = ['-idirafter', '/usr/include', '-idirafter', `/usr/include/${multiarch}`];
  const args = [
    ...strict,
    '-Os',
    ...headers,
    '-static',
    '-s',
    '-o',
    output,
    join(root, 'cli/quickstart/native/hello.c'),
  ];
  const { status, stderr, error } = spawnSync('musl-gcc', args, { encoding: 'utf8' });
  if (status !== 0)
    throw new Error(
      `compile hello.c: ${error?.code === 'ENOENT' ? 'musl-gcc is not installed: apt-get install musl-tools' : stderr}`,
    );
};

/** A ustar entry; every number in it is octal text (POSIX.1-1988, pax). */
const entry = ({ path, mode, type, data = Buffer.alloc(0) }) => {
  const header = Buffer.alloc(512);
  const octal = (value, at, length) => header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
  header.write(path, 0);
  octal(mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(data.length, 124, 12);
  octal(0, 136, 12);
  header.write('        ', 148);
  header.write(type, 156);
  header.write('ustar\x0000', 257, 'latin1');
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
};

const file = (path, mode, data) => entry({ path, mode, type: '0', data: Buffer.from(data) });
const directory = (path, mode = 0o755) => entry({ path, mode, type: '5' });

const layerOf = (program) =>
  Buffer.concat([
    directory('etc/'),
    file('etc/passwd', 0o644, 'root:x:0:0:root:/:/hello\nhello:x:1000:1000:hello:/:/hello\n'),
    file('etc/group', 0o644, 'root:x:0:\nhello:x:1000:\n'),
    directory('tmp/', 0o1777),
    file('hello', 0o755, program),
    Buffer.alloc(1024),
  ]);

const digest = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const build = (at) => {
  mkdirSync(join(at, 'blobs/sha256'), { recursive: true });
  const put = (mediaType, bytes) => {
    const id = digest(bytes);
    writeFileSync(join(at, 'blobs/sha256', id.slice(7)), bytes);
    return { mediaType, digest: id, size: bytes.length };
  };
  const json = (mediaType, value) => put(mediaType, Buffer.from(JSON.stringify(value)));
  compile(join(at, 'hello'));
  const layer = layerOf(readFileSync(join(at, 'hello')));
  // the quickstart mounts it into images of others
  mkdirSync(dirname(program), { recursive: true });
  renameSync(join(at, 'hello'), program);
  const config = json('application/vnd.oci.image.config.v1+json', {
    created: '1970-01-01T00:00:00Z',
    architecture,
    os: 'linux',
    config: { User: 'hello', Entrypoint: ['/hello'], Cmd: ['serve', '8080'], Env: ['PATH=/'], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [digest(layer)] },
  });
  const layers = [put('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(layer))];
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = json(mediaType, { schemaVersion: 2, mediaType, config, layers });
  const annotations = { 'org.opencontainers.image.ref.name': name };
  const entryOf = { ...manifest, annotations, platform: { os: 'linux', architecture } };
  writeFileSync(join(at, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(at, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entryOf] }));
};

mkdirSync(join(root, 'build'), { recursive: true });
const aside = mkdtempSync(`${target}-`);
try {
  build(aside);
  rmSync(target, { recursive: true, force: true });
  renameSync(aside, target);
} catch (error) {
  rmSync(aside, { recursive: true, force: true });
  console.error(`quickstart-image: ${error.message}`);
  process.exitCode = 1;
}
