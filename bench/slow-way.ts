/**
 * `slow-way.js FROM TO RATE`: passes connections to the port FROM on to the port TO; what comes back comes with RATE bytes a
 * second on each of them, as from a registry that is far away.
 */
import { connect, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const [from = 0, to = 0, rate = 0] = process.argv.slice(2).map(Number);

async function* slowed(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let due = performance.now();
  for await (const chunk of chunks) {
    due = Math.max(due, performance.now()) + (chunk.length / rate) * 1000;
    await sleep(due - performance.now());
    yield chunk;
  }
}

const passOn = async (client: Socket): Promise<void> => {
  const server = connect(to, '127.0.0.1');
  // Either end may go at any time.
  const ends = [pipeline(client, server), pipeline(server, slowed, client)];
  await Promise.allSettled(ends);
};

createServer((client) => void passOn(client)).listen(from, '127.0.0.1');
