// Records crictl's sessions with a berthd of its own: `record.js CRICTL DIRECTORY`. Needs root, iptables, busybox, script.
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestDaemon } from '../../harness/daemon.ts';
import { runPod } from '../../harness/pods.ts';
import { buildTree } from '../../harness/tree.ts';
import { systemEnvironment } from '../../harness/world.ts';
import { answering, type Event, echoPort, sessions, transports } from './sessions.ts';
import { echoIn } from './world.ts';

const [crictl = '', directory = ''] = process.argv.slice(2);
const [port, tapPort, user] = [10_010, 10_011, 12_345];

await using daemon = await TestDaemon.start({ config: { streaming: { port } } });
const { world } = daemon;
const events: Event[] = [];

const tap = world.spawn(
  process.execPath,
  [join(buildTree, 'critest/cri/streaming/tap.js'), `${port}`, `${tapPort}`, `${user}`],
  {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: systemEnvironment,
  },
);
if (tap.stdout === null) throw new Error('the tap has no output');
const lines = createInterface({ input: tap.stdout });
await once(lines, 'line');
lines.on('line', (line) => events.push(JSON.parse(line) as Event));
// whoever is not the tap comes to it instead of the server
await world.sh(
  `iptables -t nat -A OUTPUT -p tcp -d 127.0.0.1 --dport ${port} -m owner ! --uid-owner ${user} -j REDIRECT --to-ports ${tapPort}`,
);

const pod = await runPod(daemon);
const container = await pod.run(answering, { stdin: true });
await using _ = await echoIn(daemon, container, [echoPort, echoPort + 1]);
await mkdir(directory, { recursive: true });
for (const { name, script } of sessions)
  for (const transport of transports) {
    events.length = 0;
    const set = `cd ${world.directory}; crictl='${crictl} --runtime-endpoint ${daemon.address}'; container=${container.id}; pod=${pod.id}; transport=${transport};`;
    const { stdout, status } = await world.run('sh', ['-c', `${set} ${script}`]);
    await sleep(200);
    console.log(
      `${name} ${transport}: status ${status}, ${events.length} events, ${JSON.stringify(stdout.slice(0, 200))}`,
    );
    const text = events.map((event) => `  ${JSON.stringify(event)}`).join(',\n');
    await writeFile(join(directory, `${name}-${transport}.json`), `[\n${text}\n]\n`);
  }
await pod.remove();
