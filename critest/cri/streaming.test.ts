import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import test from 'ava';
import type { TestDaemon } from '../harness/daemon.ts';
import { idle, runPod, type TestContainer } from '../harness/pods.ts';
import { fails, suiteDaemon, warmUp } from '../harness/suite.ts';
import { until } from '../harness/until.ts';
import { outcome, type SpdyCommand, spdyCommand, type Wanted, WebSocketClient } from './streaming/command.ts';
import { descriptorsOf } from './streaming/load.ts';
import { type ClientStream, type Dial, SpdyClient } from './streaming/spdy-client.ts';
import { tunnel } from './streaming/tunnel.ts';
import { dialInto, echoIn } from './streaming/world.ts';

let dial: Dial = () => {
  throw new Error('there is no bridge');
};
const setUp = async (started: TestDaemon): Promise<void> => {
  dial = await dialInto(started);
  await warmUp(started);
};
const daemon = suiteDaemon({ setUp });

const idling = async (): Promise<TestContainer> => (await runPod(daemon())).run(idle);
const words = (command: string | readonly string[]): readonly string[] =>
  typeof command === 'string' ? ['sh', '-c', command] : command;
const outputs: Wanted = { stdout: true, stderr: true };
const terminal: Wanted = { stdin: true, stdout: true, tty: true };

const exec = async (
  container: TestContainer,
  command: string | readonly string[],
  wanted: Wanted = outputs,
): Promise<SpdyCommand> => {
  const { url } = await daemon().client.Exec({ container_id: container.id, cmd: [...words(command)], ...wanted });
  return spdyCommand(url, wanted, { dial });
};

const attach = async (container: TestContainer, wanted: Wanted = outputs): Promise<SpdyCommand> => {
  const { url } = await daemon().client.Attach({ container_id: container.id, ...wanted });
  return spdyCommand(url, wanted, { dial });
};

/** Gathers what a stream says. */
const listen = (stream: ClientStream | undefined): { text: string } => {
  const heard = { text: '' };
  stream?.on('data', (bytes: Buffer) => {
    heard.text += bytes.toString();
  });
  return heard;
};
const says = (heard: { text: string }, part: string | RegExp): Promise<boolean> =>
  until(`${part} in the output`, () => (typeof part === 'string' ? heard.text.includes(part) : part.test(heard.text)));
const processes = async (container: TestContainer): Promise<string> => (await container.exec('ps -o args')).stdout;
const exitCode = (status: string): string => JSON.parse(status).details?.causes[0].message ?? '0';

test('an exec has both streams, its exit code, and what ExecSync gives a process', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle, {
    envs: [{ key: 'COLOUR', value: Buffer.from('red') }],
    working_dir: '/tmp',
    linux: {
      security_context: {
        run_as_user: { value: 1000n },
        supplemental_groups: [42n],
        capabilities: { drop_capabilities: ['NET_RAW'] },
      },
    },
  });
  const { stdout, stderr, status } = await outcome(await exec(container, 'echo out; echo err >&2; exit 3'));
  t.deepEqual([stdout, stderr, exitCode(status)], ['out\n', 'err\n', '3']);
  const facts =
    'id; pwd; env | sort; grep -E "Cap|Seccomp|NoNewPrivs" /proc/self/status; cut -d: -f3 /proc/self/cgroup; cat /proc/self/limits; tty';
  t.is((await outcome(await exec(container, facts))).stdout, (await container.exec(facts)).stdout);
});

test('stdin is read to its end, and no more than was sent', async (t) => {
  const container = await idling();
  const command = await exec(container, 'wc -c; echo end', { ...outputs, stdin: true });
  command.stdin?.end(Buffer.alloc(3 << 20, 'x'));
  t.is((await outcome(command)).stdout, `${3 << 20}\nend\n`);
});

test('an exec without stdin reads nothing', async (t) => {
  t.is((await outcome(await exec(await idling(), 'cat; echo end'))).stdout, 'end\n');
});

test('a terminal has its size at once, is told of each new one, and sends signals', async (t) => {
  const container = await idling();
  const command = await exec(
    container,
    'trap "stty size" WINCH; trap "echo interrupted; exit 5" INT; tty; echo $TERM; while :; do sleep 0.05; done',
    terminal,
  );
  const heard = listen(command.stdout);
  await says(heard, /\/dev\/pts\/\d+\r\nxterm\r\n/);
  command.resize?.write('{"Width":132,"Height":43}\n');
  await says(heard, '43 132\r\n');
  command.resize?.write('{"Width":80,"Height":24}\n');
  await says(heard, '24 80\r\n');
  command.stdin?.write('\u0003');
  await says(heard, 'interrupted\r\n');
  t.is(exitCode(await text(command.error)), '5');
  command.client.close();
});

test('over a WebSocket an exec has its streams, its terminal and its exit code', async (t) => {
  const container = await idling();
  const { client } = daemon();
  const { url } = await client.Exec({
    container_id: container.id,
    cmd: ['sh', '-c', 'cat; echo err >&2; exit 9'],
    stdin: true,
    ...outputs,
  });
  const plain = new WebSocketClient(url, ['v5.channel.k8s.io'], dial);
  await plain.opened;
  plain.send(0, 'in');
  plain.end(0);
  t.is(await plain.closed, 1000);
  t.deepEqual([plain.text(1), plain.text(2), exitCode(plain.text(3))], ['in', 'err\n', '9']);
  const tty = await client.Exec({ container_id: container.id, cmd: ['sh'], ...terminal });
  const shell = new WebSocketClient(tty.url, ['v4.channel.k8s.io'], dial);
  await shell.opened;
  shell.send(4, '{"Width":100,"Height":30}');
  shell.send(0, 'stty size; exit 4\n');
  t.is(await shell.closed, 1000);
  t.regex(shell.text(1), /\n30 100\r\n/);
  t.is(exitCode(shell.text(3)), '4');
});

test('a command that is not there is told as the status, with what was looked for', async (t) => {
  const { status } = await outcome(await exec(await idling(), ['nosuch']));
  t.regex(JSON.parse(status).message, /nosuch.*ENOENT/);
});

test('a client that is lost ends its exec and all that it started; the container goes on', async (t) => {
  const container = await idling();
  for (const how of ['spdy', 'websocket'] as const) {
    const cmd = ['sh', '-c', 'sleep 4444 & echo started; sleep 4444'];
    const { url } = await daemon().client.Exec({ container_id: container.id, cmd, stdout: true });
    if (how === 'spdy') {
      const command = await spdyCommand(url, { stdout: true }, { dial });
      await says(listen(command.stdout), 'started');
      command.client.socket.destroy();
    } else {
      const client = new WebSocketClient(url, ['v5.channel.k8s.io'], dial);
      await client.opened;
      await until('it has started', () => client.text(1) !== '');
      client.socket.terminate();
    }
    await until(`${how}: the processes are gone`, async () => !(await processes(container)).includes('4444'));
  }
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('an exec whose daemon is killed is killed with all that it started', async (t) => {
  const container = await idling();
  const command = await exec(container, 'sleep 5555 & (setsid sleep 5555 &); echo started; sleep 5555');
  await says(listen(command.stdout), 'started');
  await daemon().killAndBoot();
  await until('the processes are gone', async () => !(await processes(container)).includes('5555'));
  await command.client.closed;
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('an exec ends with its container', async (t) => {
  const container = await idling();
  const command = await exec(container, 'echo started; sleep 1000');
  await says(listen(command.stdout), 'started');
  const status = text(command.error);
  await container.stop();
  t.is(exitCode(await status), '137');
  await command.client.closed;
});

test('a client that reads nothing stops its exec, and costs the daemon no memory', async (t) => {
  const container = await idling();
  const command = await exec(container, 'yes | head -c 2000000000', { stdout: true });
  command.client.socket.pause();
  const memory = async (): Promise<number> =>
    Number(/VmRSS:\s+(\d+)/.exec(await readFile(daemon().world.seen(`/proc/${daemon().pid}/status`), 'utf8'))?.[1]);
  const before = await memory();
  await until('nothing moves', async () => {
    const first = await written(container);
    await new Promise((resolve) => setTimeout(resolve, 100));
    return first !== '' && first === (await written(container));
  });
  t.true((await memory()) - before < 40_000, `${before} kB, ${await memory()} kB`);
  command.client.socket.destroy();
});

/** What `head` in the container has written so far. */
const written = async (container: TestContainer): Promise<string> =>
  (await container.exec('cat /proc/$(pidof head)/io | grep wchar')).stdout;

test('containerd 2022-23471, 2025-64329: execs and attaches whose clients were cut leave no descriptor', async (t) => {
  const container = await (await runPod(daemon())).run('while :; do echo tick; sleep 0.05; done');
  const descriptors = async (): Promise<number> => {
    const pids = [daemon().pid, ...(await daemon().pidsOf('berth-shim')), ...(await daemon().pidsOf('berth-agent'))];
    const open = await Promise.all(pids.map((pid) => descriptorsOf(daemon().world.seen(`/proc/${pid}/fd`))));
    return open.reduce((sum, count) => sum + count, 0);
  };
  const round = async (): Promise<void> => {
    const commands = await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        index % 2 === 0 ? exec(container, 'cat', { stdin: true, stdout: true }) : attach(container),
      ),
    );
    for (const [index, { client, stdin }] of commands.entries()) {
      if (index % 4 === 0) stdin?.end();
      else client.socket.destroy();
    }
    await Promise.all(
      commands.map(async (command, index) => (index % 4 === 0 ? outcome(command) : command.client.closed)),
    );
  };
  const calm = (): Promise<number> =>
    until('a calm moment', async () => {
      const first = await descriptors();
      return first === (await descriptors()) && !(await processes(container)).includes('cat') && first;
    });
  const before = await calm();
  for (const _ of [1, 2, 3]) await round();
  // At a calm moment one may still have been open that closes by itself.
  await until(`again ${before} descriptors`, async () => (await descriptors()) <= before);
  t.pass();
});

test('every attached client hears the same from then on, and the log has all', async (t) => {
  const container = await (await runPod(daemon())).run('while read x; do echo "got $x"; echo "err $x" >&2; done', {
    stdin: true,
  });
  const first = await attach(container, { ...outputs, stdin: true });
  const [early, errors] = [listen(first.stdout), listen(first.stderr)];
  first.stdin?.write('one\n');
  await says(early, 'got one\n');
  const second = await attach(container);
  const late = listen(second.stdout);
  // its streams are answered before it has joined the container
  await until('the second client has joined', async () => {
    first.stdin?.write('join\n');
    await new Promise((resolve) => setTimeout(resolve, 20));
    return late.text !== '';
  });
  first.stdin?.write('two\n');
  await says(late, 'got two\n');
  await says(early, 'got two\n');
  await says(errors, 'err two\n');
  t.regex(late.text, /^(got join\n)+got two\n$/);
  first.client.socket.destroy();
  const third = await attach(container, { ...outputs, stdin: true });
  third.stdin?.write('three\n');
  await says(late, 'got three\n');
  t.regex(await container.text('stdout'), /^got one\n(got join\n)+got two\ngot three\n$/);
  const status = text(second.error);
  await container.stop();
  t.is(JSON.parse(await status).status, 'Success');
});

test("stdin_once closes the container's stdin after its first client", async (t) => {
  const container = await (await runPod(daemon())).run('cat; echo end', { stdin: true, stdin_once: true });
  const command = await attach(container, { stdin: true, stdout: true });
  command.stdin?.end('all of it\n');
  t.is((await outcome(command)).stdout, 'all of it\nend\n');
  t.is((await container.exited()).exit_code, 0);
});

test('an attached client that does not read slows neither the container nor its log', async (t) => {
  const container = await (await runPod(daemon())).run(
    'read x; i=0; while [ $i -lt 60000 ]; do echo "line $i of many that fill every buffer on the way"; i=$((i+1)); done',
    { stdin: true },
  );
  const command = await attach(container, { stdin: true, stdout: true });
  command.client.socket.pause();
  command.stdin?.write('go\n');
  t.is((await container.exited()).exit_code, 0);
  t.is((await container.text()).split('\n').length, 60_001);
  command.client.socket.destroy();
});

test('an attach to a terminal has its bytes and sizes', async (t) => {
  const container = await (await runPod(daemon())).run(
    'trap "stty size" WINCH; echo ready; while :; do sleep 0.05; done',
    { tty: true, stdin: true },
  );
  await until('the trap is set', async () => /ready/.test(await container.text()));
  const command = await attach(container, terminal);
  const heard = listen(command.stdout);
  command.resize?.write('{"Width":90,"Height":20}\n');
  await says(heard, '20 90\r\n');
  command.stdin?.write('typed\n');
  await says(heard, 'typed\r\n');
  command.client.close();
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('Exec, Attach and PortForward refuse what makes no sense, and what does not run', async (t) => {
  const { client } = daemon();
  const pod = await runPod(daemon());
  const created = await pod.create('true');
  const cmd = ['true'];
  for (const call of [
    (wanted: object) => client.Exec({ container_id: created.id, cmd, ...wanted }),
    (wanted: object) => client.Attach({ container_id: created.id, ...wanted }),
  ]) {
    await fails(t, call({}), 'invalid-argument', /none of stdin, stdout and stderr/);
    await fails(t, call({ tty: true, stdout: true, stderr: true }), 'invalid-argument', /tty and stderr/);
    await fails(t, call({ stdout: true }), 'failed-precondition', /created, not running/);
    await fails(t, call({ stdout: true, container_id: 'b'.repeat(64) }), 'not-found', /bbbb/);
  }
  await fails(t, client.Exec({ container_id: created.id, stdout: true }), 'invalid-argument', /cmd is empty/);
  await fails(t, client.PortForward({ pod_sandbox_id: 'b'.repeat(64) }), 'not-found', /bbbb/);
  await fails(t, client.PortForward({ pod_sandbox_id: pod.id, port: [80, 65536] }), 'invalid-argument', /port 65536/);
  const port = Array.from({ length: 129 }, () => 80);
  await fails(t, client.PortForward({ pod_sandbox_id: pod.id, port }), 'invalid-argument', /129 ports, at most 128/);
  await pod.stop();
  await fails(t, client.PortForward({ pod_sandbox_id: pod.id, port: [80] }), 'failed-precondition', /not ready/);
});

test('a container that has ended between the answer and the client is told as the status', async (t) => {
  const container = await idling();
  const { url } = await daemon().client.Exec({ container_id: container.id, cmd: ['true'], ...outputs });
  await container.stop();
  const { status } = await outcome(await spdyCommand(url, outputs, { dial }));
  t.regex(JSON.parse(status).message, /exited, not running/);
});

let requests = 0;
const connection = async (
  client: SpdyClient,
  port: number,
): Promise<{ readonly data: ClientStream; readonly error: ClientStream }> => {
  requests += 1;
  const headers = { port: `${port}`, requestID: `${requests}` };
  const error = await client.stream({ ...headers, streamType: 'error' });
  error.end();
  return { error, data: await client.stream({ ...headers, streamType: 'data' }) };
};

for (const [name, open] of [
  ['SPDY', (url: string) => SpdyClient.open(url, ['portforward.k8s.io'], dial)],
  ['SPDY in a WebSocket', (url: string) => tunnel(url, dial)],
] as const)
  test(`a port-forward over ${name} reaches both loopbacks of the pod, keeps half-closes, tells a refused port`, async (t) => {
    const pod = await runPod(daemon());
    await using _ = await echoIn(daemon(), await pod.run(idle), [81, 82]);
    const { url } = await daemon().client.PortForward({ pod_sandbox_id: pod.id, port: [81, 82] });
    const client = await open(url);
    for (const [port, address] of [
      [81, '127.0.0.1'],
      [82, '::1'],
    ] as const) {
      const { data, error } = await connection(client, port);
      data.end('hello ');
      t.deepEqual([await text(data), await text(error)], [`hello from ${address}`, '']);
    }
    const refused = await connection(client, 83);
    t.regex(await text(refused.error), /port 83.*ECONNREFUSED/);
    client.close();
    await client.closed;
  });

test("a port-forward into a pod on the host's network reaches the host's loopback", async (t) => {
  const pod = await runPod(daemon(), {
    linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } },
  });
  const { url } = await daemon().client.PortForward({ pod_sandbox_id: pod.id });
  const client = await SpdyClient.open(url, ['portforward.k8s.io'], dial);
  const { data } = await connection(client, Number(new URL(url).port));
  data.write('GET / HTTP/1.0\r\n\r\n');
  t.regex(await text(data), /^HTTP\/1\.1 404/);
  client.close();
});
