import { mkdtemp } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { PullSide } from './pull-side.ts';

/** Four layers at a time, as berthd does; nothing is checked, hashed, kept or synced. */
const script = `set -euo pipefail
IFS=/ read -r host repository <<<"\${1%:*}"
tag=\${1##*:}; [ "\${tag%-*}" = gzip ] && unpack='igzip -d -c' || unpack='zstd -d -c -q'
export unpack base=http://$host/v2/$repository to=$2
layers=$(curl -sf -H 'accept: application/vnd.oci.image.manifest.v1+json' "$base/manifests/$tag" |
  tr ',' '\\n' | grep -o 'sha256:[0-9a-f]*' | tail -n +2)
one() { mkdir "$to/$1" && curl -sf "$base/blobs/$1" | $unpack | tar x -C "$to/$1" --numeric-owner; }
export -f one
start=$(date +%s%N)
xargs -P 4 -I{} bash -o pipefail -c 'one {}' <<<"$layers"
echo $(( ($(date +%s%N) - start) / 1000000 ))
times
`;

const secondsOf = (text: string): number => {
  const all = [...text.matchAll(/(\d+)m([\d.]+)s/g)];
  return all.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
};

/** `curl | igzip -d | tar x` (or zstd): what fetching and unpacking the image takes without being an image store. */
export const floor = async (side: PullSide, name: string): Promise<{ readonly wall: number; readonly cpu: number }> => {
  const directory = await mkdtemp(join(side.world.seen(side.directory), 'floor-'));
  const to = join(side.directory, basename(directory));
  const { status, stdout, stderr } = await side.world.run('bash', ['-c', script, 'bash', name, to]);
  if (status !== 0) throw new Error(`the floor of ${name}: status ${status}: ${stderr}`);
  const [wall = '', ...rest] = stdout.trim().split('\n');
  return { wall: Number(wall), cpu: secondsOf(rest.join(' ')) };
};
