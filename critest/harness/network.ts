import { mkdir, writeFile } from 'node:fs/promises';
import type { World } from './world.ts';

export type TestNetwork =
  /** A bridge with host-local addresses in 10.88.0.0/16, no rules: quick. */
  | 'bridge'
  /** The daemon's own default network. */
  | 'embedded'
  /** No configuration and no default network: pods must use the host's. */
  | 'none';

const bridge = (world: World): object => ({
  cniVersion: '1.0.0',
  name: 'test',
  plugins: [
    {
      type: 'bridge',
      bridge: 'bt0',
      isGateway: true,
      ipam: { type: 'host-local', dataDir: world.path('ipam'), ranges: [[{ subnet: '10.88.0.0/16' }]] },
    },
  ],
});

/** Where configurations are looked for; a test may add and remove files. */
export const confDirectory = (world: World): string => world.path('cni');

export const writeNetwork = async (world: World, network: TestNetwork): Promise<void> => {
  await mkdir(confDirectory(world), { recursive: true });
  if (network === 'bridge') await writeFile(`${confDirectory(world)}/10-test.conflist`, JSON.stringify(bridge(world)));
};
