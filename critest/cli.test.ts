import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { names } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { ScreenOf } from './harness/screen.ts';
import { suiteDaemon } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';
import type { Output } from './harness/world.ts';

const daemon = suiteDaemon();
const command = join(sourceTree, 'bin/berth');

const berth = (args: readonly string[], input = ''): Promise<Output> =>
  daemon().world.run(command, ['--address', daemon().address, ...args], input);

/** In a terminal of its own: `script` makes one, and stty its size. Types each text when the prompt before it is there. */
const inTerminal = async (words: string, ...typed: readonly (readonly [RegExp, string])[]): Promise<Output> => {
  const inner = `stty rows 31 cols 97; ${command} --address ${daemon().address} ${words}`;
  const child = daemon().world.spawn('script', ['-qec', inner, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout?.on('data', (data) => {
    stdout += data;
  });
  const ended = once(child, 'close');
  for (const [prompt, input] of typed) {
    await until(`${prompt} is there`, () => Promise.resolve(prompt.test(stdout)));
    child.stdin?.write(input);
  }
  const [status] = await ended;
  return { status, stdout, stderr: '' };
};

test('berth exec passes both streams and the exit code', async (t) => {
  const { id } = await (await runPod(daemon())).run(idle);
  t.deepEqual(await berth(['exec', id, 'sh', '-c', 'echo out; echo err >&2; exit 7']), {
    status: 7,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  t.deepEqual(await berth(['exec', '--timeout', '9', id, 'echo', 'sync']), { status: 0, stdout: 'sync\n', stderr: '' });
});

test('berth exec -i passes stdin to its end, 3 MB of it', async (t) => {
  const { id } = await (await runPod(daemon())).run(idle);
  const { stdout, status } = await berth(['exec', '-i', id, 'wc', '-c'], 'x'.repeat(3_000_000));
  t.deepEqual([stdout.trim(), status], ['3000000', 0]);
});

test('berth exec without -i leaves our stdin alone', async (t) => {
  const { id } = await (await runPod(daemon())).run(idle);
  t.deepEqual(await berth(['exec', id, 'wc', '-c'], 'not for it'), { status: 0, stdout: '0\n', stderr: '' });
});

test('berth exec -it has a terminal of our size, and its end is the command’s', async (t) => {
  const { id } = await (await runPod(daemon())).run(idle);
  const { stdout, status } = await inTerminal(`exec -it ${id} sh`, [/# /, 'stty size; tty; exit 5\n']);
  t.regex(stdout, /31 97\s+\/dev\/pts\/\d\s/);
  t.is(status, 5);
});

test('berth exec -it where stdin is no terminal gives it as it is, to its end, and says so', async (t) => {
  const { id } = await (await runPod(daemon())).run(idle);
  t.deepEqual(await berth(['exec', '-it', id, 'sh'], 'tty\nexit 4\n'), {
    status: 4,
    stdout: 'not a tty\n',
    stderr: 'berth exec: -t is left out: our own stdin is no terminal\n',
  });
  const { status } = await berth(['exec', '-it', id, 'sh'], '');
  t.is(status, 0, 'no input at all ends the shell');
});

test('a command that does not exist is told on stderr with 125 of our own', async (t) => {
  const { id } = await (await runPod(daemon())).run(idle);
  const { status, stderr } = await berth(['exec', id, 'nosuch']);
  t.is(status, 125);
  t.regex(stderr, /berth exec: .*nosuch.*ENOENT/);
});

test('berth attach brings what is said from then on, and its stdin is the container’s', async (t) => {
  const { id } = await (await runPod(daemon())).run('while read -r line; do echo "got $line"; done; exit 3', {
    stdin: true,
    stdin_once: true,
  });
  t.deepEqual(await berth(['attach', id], 'one\ntwo\n'), { status: 0, stdout: 'got one\ngot two\n', stderr: '' });
});

test('berth attach gives a terminal our size before the first input; Ctrl-p Ctrl-q leaves it, and the container runs on', async (t) => {
  const container = await (await runPod(daemon())).run('read -r _; stty size; cat', { stdin: true, tty: true });
  const { stdout, status } = await inTerminal(
    `attach ${container.id}`,
    [/Ctrl-p/, 'first\n'],
    [/31 97\s/, 'hello\n'],
    [/hello\s+hello/, '\x10\x11'],
  );
  t.regex(stdout, /Ctrl-p Ctrl-q/);
  t.is(status, 0);
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});

test('berth port-forward carries connections to the pod, and tells of a port that nobody listens on', async (t) => {
  const { world } = daemon();
  const pod = await runPod(daemon());
  await pod.run('sleep 86400 | nc -l -p 8082 & while true; do echo hello | nc -l -p 8080; done');
  const words = `--address ${daemon().address} port-forward ${pod.id} :8080 :8081 :8082`;
  const forward = world.spawn('sh', ['-c', `echo $$ >${world.path('pid')}; exec ${command} ${words} 2>&1`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let said = '';
  forward.stdout?.on('data', (data) => {
    said += data;
  });
  const [here, nobody, holds] = await until('it listens', () => {
    const ports = [...said.matchAll(/127\.0\.0\.1:(\d+) -> \d+/g)].map(([, port]) => port);
    return Promise.resolve(ports.length === 3 ? ports : undefined);
  });
  const ask = (port = '') => world.sh(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}; head -1 <&3'`);
  for (let turn = 0; turn < 2; turn += 1)
    t.is(await until('it answers', async () => (await ask(here)) || undefined), 'hello\n');
  await ask(nobody);
  await until('it tells', () => Promise.resolve(/port 8081: .*ECONNREFUSED/.test(said)));
  const reset = `require('net').connect(${holds}, '127.0.0.1', function () { this.resetAndDestroy(); })`;
  await world.sh(`${process.execPath} -e "${reset}"`);
  const sessions = (): Promise<string> =>
    world.sh(`ss -Htnp state established | grep -c "pid=$(cat ${world.path('pid')})," || true`);
  await until('no session is left of who has gone', async () => (await sessions()) === '0\n');
  const ended = once(forward, 'close');
  await world.sh(`kill $(cat ${world.path('pid')}); rm ${world.path('pid')}`);
  t.deepEqual((await ended)[0], 0);
});

test('berth cp brings a tree out and in again as it was', async (t) => {
  const { world } = daemon();
  const container = await (await runPod(daemon())).run(idle);
  await container.exec(
    'mkdir -p /tree/sub; echo data > /tree/sub/file; chmod 750 /tree/sub; ln -s sub /tree/link; touch -d "2001-02-03 04:05:06" /tree/sub/file',
  );
  const here = world.path('cp');
  await world.sh(`mkdir ${here}`);
  t.like(await berth(['cp', `${container.id}:/tree`, here]), { status: 0, stderr: '' });
  t.like(await berth(['cp', `${container.id}:/tree/.`, `${here}/named`]), { status: 0, stderr: '' });
  const list = "find . -printf '%P %y %m %TY %l\\n' | sort";
  t.is(await world.sh(`cd ${here}/tree && ${list}`), await world.sh(`cd ${here}/named && ${list}`));
  t.regex(await world.sh(`cd ${here}/tree && ${list}`), /^link l 777 \d+ sub$.*^sub d 750.*^sub\/file f 644 2001 $/ms);
  t.like(await berth(['cp', here, `${container.id}:/back`]), { status: 0, stderr: '' });
  t.is((await container.exec('cat /back/tree/link/file; stat -c %a:%u /back/tree/sub')).stdout, 'data\n750:0\n');
  t.regex((await berth(['cp', `${container.id}:/tree/sub/file`, '-'])).stdout, /^\d|file/);
  await world.sh(`rm -r ${here}`);
});

test('berth cp without --archive brings no setuid and setgid along, with it both and the owners', async (t) => {
  const { world } = daemon();
  const container = await (await runPod(daemon())).run(idle);
  await container.exec(
    'mkdir /set; echo x > /set/file; chown 1000:1000 /set/file; chmod 6755 /set/file; chmod 2777 /set',
  );
  const [plain, archive] = [world.path('plain'), world.path('archive')];
  const modes = "find . -printf '%P %m %U\\n' | sort";
  t.like(await berth(['cp', `${container.id}:/set`, plain]), { status: 0, stderr: '' });
  t.regex(await world.sh(`cd ${plain} && ${modes}`), /^ 7[57]5 0\nfile 755 0\n$/);
  t.like(await berth(['cp', '-a', `${container.id}:/set`, archive]), { status: 0, stderr: '' });
  t.is(await world.sh(`cd ${archive} && ${modes}`), ' 2777 0\nfile 6755 1000\n');
  t.like(await berth(['cp', archive, `${container.id}:/plain`]), { status: 0, stderr: '' });
  t.like(await berth(['cp', '-a', archive, `${container.id}:/archive`]), { status: 0, stderr: '' });
  t.is((await container.exec('stat -c %a:%u /plain/file /archive/file')).stdout, '755:0\n6755:1000\n');
  await world.sh(`rm -r ${plain} ${archive}`);
});

test('berth cp names what is not there, on either side, and leaves nothing', async (t) => {
  const { world } = daemon();
  const { id } = await (await runPod(daemon())).run(idle);
  const here = world.path('cp');
  await world.sh(`mkdir ${here}`);
  await writeFile(world.seen(join(here, 'file')), 'x');
  t.like(await berth(['cp', `${id}:/nosuch`, join(here, 'new')]), {
    status: 1,
    stderr: `berth cp: ${id}:/nosuch: open: nosuch: No such file or directory\n`,
  });
  t.regex((await berth(['cp', join(here, 'nosuch'), `${id}:/`])).stderr, /nosuch: there is no such file/);
  t.regex(
    (await berth(['cp', join(here, 'file'), `${id}:/no/such/place`])).stderr,
    /^berth cp: \w+:\/no\/such\/place: .*No such file or directory\n$/,
  );
  t.is(await world.sh(`ls -A ${here}`), 'file\n');
  await world.sh(`rm -r ${here}`);
});

test('berth ends when who takes its output goes: a pipe, or the tar of a copy', async (t) => {
  const { world } = daemon();
  const container = await (await runPod(daemon())).run(idle);
  await container.exec('mkdir /big; head -c 8000000 /dev/zero >/big/file');
  const cli = `timeout 60 ${command} --address ${daemon().address}`;
  for (const words of [`exec ${container.id} yes`, `cp ${container.id}:/big -`])
    t.regex(
      await world.sh(`{ { ${cli} ${words}; echo "ended $?" >&3; } 2>&3 | head -c 1 >/dev/null; } 3>&1`),
      /ended (?:0|1|125)\n$/,
    );
  const [bin, here] = [world.path('bin'), world.path('here')];
  await world.sh(`mkdir ${bin} ${here}; printf '#!/bin/sh\nexit 3\n' >${bin}/tar; chmod 755 ${bin}/tar`);
  t.is(await world.sh(`PATH=${bin}:$PATH ${cli} cp ${container.id}:/big ${here} >/dev/null 2>&1; echo $?`), '3\n');
  await world.sh(`rm -r ${bin} ${here}`);
});

test('berth events tells of a container from its creation to its end, and SIGTERM ends it with 0', async (t) => {
  const { world } = daemon();
  const pod = await runPod(daemon());
  const name = pod.config.metadata?.name;
  const words = `--address ${daemon().address} events --state --filter pod=${name}`;
  const child = world.spawn('sh', ['-c', `echo $$ >${world.path('pid')}; exec ${command} ${words} 2>&1`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout?.on('data', (data) => {
    said += data;
  });
  const ended = once(child, 'close');
  await until('it listens', () => Promise.resolve(/ready\n/.test(said)));
  const container = await pod.run('exit 3');
  await container.exited();
  await container.remove();
  await until('the last one', () => Promise.resolve(/deleted/.test(said)));
  await world.sh(`kill $(cat ${world.path('pid')}); rm ${world.path('pid')}`);
  t.is((await ended)[0], 0);
  const told = said
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/).slice(1).join(' '));
  const full = `${container.id.slice(0, 12)} default/${name}/${container.logFile.split('/').at(-1)?.slice(0, -4)}`;
  t.deepEqual(told, [
    `state pod ${pod.id.slice(0, 12)} default/${name} ready`,
    `created container ${full} ${names.busybox}`,
    `started container ${full}`,
    `stopped container ${full} exit code 3, Error`,
    `deleted container ${full}`,
  ]);
});

test('bash completes the names of pods, containers and images that are there', async (t) => {
  const pod = await runPod(daemon());
  await pod.run(idle, { metadata: { name: 'complete-me' } });
  const script = `PATH=${join(sourceTree, 'bin')}:$PATH; source <(berth completion bash)
    export BERTH_ADDRESS=${daemon().address} COMP_WORDBREAKS=' '
    for COMP_LINE in "$@"; do COMP_POINT=\${#COMP_LINE}; _berth; echo "\${COMPREPLY[*]}"; done`;
  const name = pod.config.metadata?.name ?? '';
  const lines = [`berth exec ${name}/`, `berth rmi ${names.busybox.slice(0, -3)}`, `berth port-forward ${name}`];
  const { stdout, stderr } = await daemon().world.run('bash', ['--norc', '-c', script, 'bash', ...lines]);
  t.is(stderr, '');
  t.is(stdout, `${name}/complete-me\n${names.busybox}\n${name}\n`);
});

test('berth top shows pods and containers with what they use, sorts and turns its view by keys, follows the terminal’s size, waits for a daemon that is away, and leaves the terminal as it was', async (t) => {
  const { world } = daemon();
  const linux = { resources: { memory_limit_in_bytes: 64n << 20n, cpu_quota: 20_000n, cpu_period: 100_000n } };
  const busy = await runPod(daemon(), { metadata: { name: 'busy' } });
  await busy.run('trap "exit 0" TERM; while :; do :; done', { metadata: { name: 'burns' }, linux });
  const quiet = await runPod(daemon(), { metadata: { name: 'quiet' } });
  await quiet.run(idle, { metadata: { name: 'sleeps' } });
  const terminal = new ScreenOf(daemon(), 'top --interval 0.2');
  const names = (screen: readonly string[]) => screen.slice(3, 7).map((line) => line.trim().split(' ')[0]);
  // The shell and its sleep, which may come a frame later, as the first share of a processor may.
  await terminal.shows(/^ {2}sleeps .* 2$/);
  const screen = await until('the busy one is first', () => {
    const lines = terminal.screen;
    return (
      names(lines)[0] === 'default/busy' && /^ {2}burns +\d+(\.\d)? .*[▏▎▍▌▋▊▉█].* 64M/.test(lines[4] ?? '') && lines
    );
  });
  t.true(terminal.entered);
  t.regex(screen[0] ?? '', /^berth top {2}\d\d:\d\d:\d\d {2}2 pods, 2 containers, every 0\.2 s/);
  t.regex(screen[2] ?? '', /^POD +CPU %▼/);
  t.deepEqual(names(screen), ['default/busy', 'burns', 'default/quiet', 'sleeps']);
  terminal.type('aa');
  t.regex((await terminal.shows(/^POD▲/))[3] ?? '', /^default\/quiet/);
  terminal.type('\t\t');
  t.regex((await terminal.shows(/^CONTAINER▲/))[3] ?? '', /^default\/quiet\/sleeps/);
  await world.sh(`stty -F $(cat ${world.path('tty')}) rows 9 cols 50`);
  const small = await terminal.shows(/^CONTAINER▲ .*CPU %/);
  await until('it has nine lines', () => Promise.resolve(terminal.screen.length === 9));
  t.true(small.every((line) => line.length <= 90));
  t.true(terminal.screen.every((line) => line.length <= 50));
  await world.sh(`stty -F $(cat ${world.path('tty')}) rows 20 cols 90`);
  await daemon().kill();
  await terminal.shows(/^no figures, trying again: nobody answers on unix:/);
  t.true(
    terminal.screen.some((line) => line.startsWith('default/quiet/sleeps')),
    'what was known stays',
  );
  await daemon().boot();
  await terminal.shows(/^berth top .* 2 pods/);
  await world.sh(`kill -TERM $(cat ${world.path('pid')})`);
  const { said, same } = await terminal.end();
  t.regex(said, /ended 0/);
  t.true(same, 'the modes of the terminal');
});

test('berth top is one table where there is no terminal, or one JSON document', async (t) => {
  const { world, address } = daemon();
  const pod = await runPod(daemon(), { metadata: { name: 'burner' } });
  const linux = { resources: { cpu_quota: 20_000n, cpu_period: 100_000n } };
  const { id } = await pod.run('trap "exit 0" TERM; while :; do :; done', { metadata: { name: 'burns' }, linux });
  const run = (...words: string[]) => world.run(command, ['--address', address, 'top', ...words]);
  const [table, json] = await Promise.all([run('-i', '0.3'), run('--json', '-i', '0.3')]);
  t.is(table.stderr, '');
  const row = table.stdout.split('\n').find((line) => line.startsWith('default/burner/burns')) ?? '';
  t.is(row.split(/ +/)[1], id.slice(0, 12));
  t.is(row.split(/ +/)[3], '20.0', 'its limit');
  const { cpu, cpuLimit, pids } = JSON.parse(json.stdout).pods[0].containers[0];
  t.true(cpu > 0.01 && cpu < 0.5, `${cpu} of a processor that it may have a fifth of`);
  t.deepEqual([cpuLimit, pids], [0.2, 1]);
});

test('where clients of streams must have a certificate, those of this node come over a socket, and are told when they cannot', async (t) => {
  const { world } = daemon();
  const path = (name: string): string => world.path(name);
  const kind = '-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -x509 -days 2 -subj /CN=node.example';
  await world.sh(`openssl req ${kind} -keyout ${path('tls.key')} -out ${path('tls.pem')} 2>/dev/null`);
  const [tls_cert, tls_key] = [path('tls.pem'), path('tls.key')];
  await daemon().configure({ streaming: { tls_cert, tls_key, tls_client_ca: tls_cert } });
  await daemon().killAndBoot();
  const pod = await runPod(daemon());
  const { id } = await pod.run('while true; do echo hello | nc -l -p 8080; done');
  const exec = ['exec', '-i', id, 'sh', '-c', 'cat; exit 7'];
  t.deepEqual(await berth(exec, 'in'), { status: 7, stdout: 'in', stderr: '' });
  const reads = await pod.run('read -r line; echo "got $line"', { stdin: true, stdin_once: true });
  t.deepEqual(await berth(['attach', reads.id], 'one\n'), { status: 0, stdout: 'got one\n', stderr: '' });
  t.like(await berth(['cp', tls_cert, `${id}:/in`]), { status: 0, stderr: '' });
  t.like(await berth(['cp', `${id}:/in`, path('out.pem')]), { status: 0, stderr: '' });
  t.is(await world.sh(`cat ${path('out.pem')}`), await world.sh(`cat ${tls_cert}`));
  const words = `--address ${daemon().address} port-forward ${pod.id} :8080`;
  const forward = world.spawn('sh', ['-c', `echo $$ >${path('pid')}; exec ${command} ${words}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(createInterface({ input: forward.stdout ?? t.fail() }), 'line')) as [string];
  const port = /127\.0\.0\.1:(\d+) ->/.exec(line)?.[1];
  const ask = () => world.sh(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}; head -1 <&3'`);
  t.is(await until('it answers', async () => (await ask()) || undefined), 'hello\n');
  const ended = once(forward, 'close');
  await world.sh(`kill $(cat ${path('pid')}); rm ${path('pid')}`);
  await ended;
  t.is(await world.sh(`stat -c %a ${path('state/local.sock')}`), '600\n');
  const { url } = await daemon().client.Exec({ container_id: id, cmd: ['true'], stdout: true });
  const { status } = await world.run('curl', ['-sk', url]);
  t.not(status, 0, 'nobody else comes without a certificate');
  await world.sh(`mv ${path('state/local.sock')} ${path('state/away')}`);
  const refused = await berth(exec);
  t.is(refused.status, 125);
  t.regex(refused.stderr, /^berth exec: connect to .*local\.sock: .*ENOENT.*: berthd wants a certificate of clients/);
  await world.sh(`mv ${path('state/away')} ${path('state/local.sock')}; rm ${tls_key} ${tls_cert} ${path('out.pem')}`);
  await daemon().stop();
  await daemon().configure({});
  await daemon().boot();
});
