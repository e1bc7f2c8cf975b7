import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dir } from 'tmp-promise';

/** Where the quickstart happens: names that are nobody else's, so that all of it can be found and taken down. */
export interface Place {
  readonly directory: string;
  readonly root: string;
  readonly state: string;
  readonly netns: string;
  readonly logs: string;
  readonly configFile: string;
  readonly address: string;
  /** Below the root of each cgroup hierarchy. */
  readonly cgroup: string;
  readonly bridge: string;
}

/** The configuration directory for CNI stays empty: the embedded network serves, whatever the machine has. */
export const makePlace = async (plainHttp: readonly string[]): Promise<Place> => {
  const { path: directory } = await dir({ prefix: 'berth-qs' });
  const name = randomBytes(3).toString('hex');
  const at = (part: string): string => join(directory, part);
  const place = {
    directory,
    root: at('root'),
    state: at('state'),
    netns: at('netns'),
    logs: at('logs'),
    configFile: at('config.toml'),
    address: `unix://${at('state')}/berth.sock`,
    cgroup: `berth-qs-${name}`,
    bridge: `berthqs${name}`,
  };
  await chmod(directory, 0o700);
  for (const path of [place.netns, place.logs, at('net.d')]) await mkdir(path, { mode: 0o700 });
  await writeFile(place.configFile, configOf(place, at('net.d'), plainHttp));
  return place;
};

const configOf = (place: Place, confDir: string, plainHttp: readonly string[]): string =>
  [
    ['root', place.root],
    ['state', place.state],
    ['listen', place.address],
    ['log_level', 'debug'],
    ['cgroup.parent', `/${place.cgroup}`],
    ['network.conf_dir', confDir],
    ['network.netns_dir', place.netns],
    ['network.embedded_bridge', place.bridge],
    ['registry.plain_http', plainHttp],
  ]
    .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
    .join('');
