import test from 'ava';
import { pino } from 'pino';
import { StreamingServer } from '../../cri/stream/server.ts';
import { seeded } from '../harness/fuzz.ts';
import { outcome, spdyCommand } from './streaming/command.ts';
import { fuzzRequests, fuzzSessions } from './streaming/fuzz.ts';
import { OwnProcess } from './streaming/process.ts';

const below = (seed: number) => {
  const random = seeded(seed);
  return (limit: number): number => Math.floor(random() * limit);
};

test('mutated sessions over SPDY and WebSocket end with their client, and leave nothing', async (t) => {
  await fuzzSessions(200, below(4));
  t.pass();
});

test('mutated requests are refused, and the token of another is still good', async (t) => {
  const settings = { address: '127.0.0.1', port: 0, certificates: undefined, idleMs: 0, creationMs: 5000 };
  await using server = await StreamingServer.start({ ...settings, log: pino({ level: 'silent' }) });
  const wanted = { stdin: false, stdout: true, stderr: false, tty: false };
  const process = new OwnProcess(wanted);
  const url = server.urlOf({ kind: 'exec', wanted, open: async () => process });
  await fuzzRequests(server.base, 200, below(5));
  const command = await spdyCommand(url, wanted);
  process.exit(0);
  t.regex((await outcome(command)).status, /Success/);
});
