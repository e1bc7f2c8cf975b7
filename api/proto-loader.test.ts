import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import test from 'ava';
import { dir } from 'tmp-promise';
import { BerthError } from '../base/errors.ts';
import type { Handlers, Log } from './handlers.ts';
import { serve } from './server.ts';

// The compiled file lies in build/api, the protos in api.
const protos = join(fileURLToPath(import.meta.url), '../../../api/proto');
const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

type Call = (request: object, done: (error: ServiceError | null, response: unknown) => void) => void;
type Constructor = new (address: string, secrets: typeof insecure) => Client & Record<string, Call>;
const insecure = credentials.createInsecure();

/** The client that anybody writes in Node from the .proto file alone; nothing of ours but the file. */
const independentClient = (address: string): Client & Record<string, Call> => {
  const definition = loadSync('runtime/v1/runtime.proto', {
    includeDirs: [protos],
    keepCase: true,
    longs: String,
    bytes: Buffer,
  });
  const { runtime } = loadPackageDefinition(definition) as unknown as {
    runtime: { v1: { RuntimeService: Constructor } };
  };
  return new runtime.v1.RuntimeService(address, insecure);
};

const call = (client: Client & Record<string, Call>, name: string, request: object): Promise<unknown> =>
  new Promise((resolve, reject) => {
    client[name]?.(request, (error, response) => (error === null ? resolve(response) : reject(error)));
  });

const withClient = async (handlers: Handlers, action: (client: Client & Record<string, Call>) => Promise<void>) => {
  const { path, cleanup } = await dir({ prefix: 'berth-pl-', unsafeCleanup: true });
  const address = `unix://${join(path, 'b.sock')}`;
  const server = await serve(handlers, { address, log: silent, ready: () => true });
  const client = independentClient(`unix:${join(path, 'b.sock')}`);
  try {
    await action(client);
  } finally {
    client.close();
    await server.close(100);
    await cleanup();
  }
};

test('a client made by proto-loader sends what the server reads, and reads what the server sends', (t) =>
  withClient(
    {
      CreateContainer: async ({ config, pod_sandbox_id }) => {
        t.is(pod_sandbox_id, 'pod');
        t.deepEqual(
          config?.envs.map(({ key, value }) => [key, ...value]),
          [['A', 0xff, 0]],
        );
        t.is(config?.linux?.resources?.memory_limit_in_bytes, 9_007_199_254_740_993n);
        t.deepEqual(config?.labels, { a: 'b', ä: 'ö' });
        return { container_id: 'c' };
      },
      ContainerStatus: async () => ({
        status: { id: 'c', state: 'CONTAINER_EXITED', exit_code: -1, started_at: 1_700_000_000_123_456_789n },
        info: { key: 'value' },
      }),
    },
    async (client) => {
      const envs = [{ key: 'A', value: Buffer.from([0xff, 0]) }];
      const resources = { memory_limit_in_bytes: '9007199254740993' };
      const config = { envs, labels: { a: 'b', ä: 'ö' }, linux: { resources } };
      t.deepEqual(await call(client, 'CreateContainer', { pod_sandbox_id: 'pod', config }), { container_id: 'c' });
      const { status, info } = (await call(client, 'ContainerStatus', {})) as Record<string, Record<string, unknown>>;
      t.is(status?.started_at, '1700000000123456789');
      t.is(status?.exit_code, -1);
      t.deepEqual(info, { key: 'value' });
    },
  ));

test('it gets our errors as gRPC statuses', (t) =>
  withClient(
    {
      StartContainer: async () => {
        throw new BerthError('not-found', 'container c does not exist');
      },
    },
    async (client) => {
      const error = await t.throwsAsync(call(client, 'StartContainer', { container_id: 'c' }));
      t.is((error as ServiceError).code, 5);
      t.is((error as ServiceError).details, 'container c does not exist');
    },
  ));
