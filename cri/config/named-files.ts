import { createSecureContext } from 'node:tls';
import { invalid, messageOf } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { DockerConfig } from '../../images/registry/docker-config.ts';
import { parseProviders } from '../../images/registry/provider-config.ts';
import { placeOf, readSeccompProfile } from '../security/seccomp-profile.ts';
import { tlsOptions } from '../stream/certificates.ts';
import type { Config } from './index.ts';
import { inWords, type Loaded, lineOf } from './load.ts';

/**
 * Reads the files that keys name, as the daemon will when it needs them: it starts without them, and what needs them fails. Throws
 * `invalid-argument` with a line a problem.
 */
export const checkNamedFiles = async ({ config, origins }: Loaded): Promise<void> => {
  const problems = await Promise.all(
    checksOf(config).map(async ({ key, check }) => {
      try {
        await check();
        return [];
      } catch (error) {
        return [inWords({ place: lineOf([key], origins), text: `${key}: ${messageOf(error)}` })];
      }
    }),
  );
  const all = problems.flat();
  if (all.length > 0) throw invalid(all.join('\n'));
};

interface Check {
  readonly key: string;
  readonly check: () => Promise<unknown>;
}

const checksOf = ({ seccomp, registry, streaming }: Config): readonly Check[] => {
  const { tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = streaming;
  const { docker_config: docker, credential_provider_config: providers } = registry;
  const checks: readonly (readonly [boolean, Check])[] = [
    [
      cert !== '',
      { key: 'streaming.tls_cert', check: async () => createSecureContext(await tlsOptions({ cert, key, clientCa })) },
    ],
    [
      seccomp.default !== 'builtin',
      { key: 'seccomp.default', check: () => readSeccompProfile(seccomp.default, placeOf([])) },
    ],
    [docker !== '', { key: 'registry.docker_config', check: async () => checkDocker(docker) }],
    [
      providers !== '',
      {
        key: 'registry.credential_provider_config',
        check: async () => parseProviders(await content(providers), providers),
      },
    ],
  ];
  return checks.filter(([isSet]) => isSet).map(([, check]) => check);
};

const checkDocker = async (path: string): Promise<void> => {
  const { problems } = new DockerConfig(await content(path), path);
  if (problems.length > 0) throw invalid(problems.join('; '));
};

const content = async (path: string): Promise<Buffer> => {
  const bytes = await readLimited(path, 1 << 20);
  if (bytes === undefined) throw invalid(`${path}: there is no such file`);
  return bytes;
};
