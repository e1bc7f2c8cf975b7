import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { dir } from 'tmp-promise';
import type { Container, Input, PodSandbox } from '../api/generated/types.ts';
import type { Handlers } from '../api/handlers.ts';
import { serve } from '../api/server.ts';
import { BerthError } from '../base/errors.ts';
import { runCommand } from './command.ts';
import { ownTerminal } from './stream/terminal.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const id = (letter: string): string => letter.repeat(64);

const pods: Input<PodSandbox>[] = [
  { id: id('a'), metadata: { name: 'web', namespace: 'default', uid: 'u' }, created_at: 2n },
  { id: id('b'), metadata: { name: 'empty', namespace: 'default' }, created_at: 1n },
];
const containers: Input<Container>[] = [
  {
    id: `1${id('c').slice(1)}`,
    pod_sandbox_id: id('a'),
    metadata: { name: 'server' },
    image: { image: 'img:1' },
    state: 'CONTAINER_RUNNING',
    created_at: 3n,
  },
  {
    id: `12${id('d').slice(2)}`,
    pod_sandbox_id: id('a'),
    metadata: { name: 'side' },
    state: 'CONTAINER_EXITED',
    created_at: 2n,
  },
];

const base: Handlers = {
  ListPodSandbox: async () => ({ items: pods }),
  ListContainers: async () => ({ containers }),
};

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

type Berth = (...argv: string[]) => Promise<Ended>;

const withDaemon = async (
  handlers: Handlers,
  action: (berth: Berth, directory: string) => Promise<void>,
  tty = false,
): Promise<void> => {
  const { path, cleanup } = await dir({ prefix: 'berth-cli-', unsafeCleanup: true });
  const address = `unix://${path}/b.sock`;
  const server = await serve({ ...base, ...handlers }, { address, log: quiet, ready: () => true });
  const berth = async (...argv: string[]): Promise<Ended> => {
    let out = '';
    let error = '';
    const output = {
      tty,
      columns: 80,
      write: (data: string | Uint8Array): void => {
        out += Buffer.from(data as string).toString();
      },
      error: (data: string | Uint8Array) => {
        error += Buffer.from(data as string).toString();
      },
    };
    const code = await runCommand(argv, {
      terminal: ownTerminal(),
      address,
      logRoot: join(path, 'logs'),
      out: output,
      signal: new AbortController().signal,
    });
    return { code, out, error };
  };
  try {
    await action(berth, path);
  } finally {
    await server.close(100);
    await cleanup();
  }
};

test('ps shows running containers with their pods and pods without a container; --all shows the ended', (t) =>
  withDaemon({}, async (berth) => {
    const some = await berth('ps');
    const rows = some.out
      .trimEnd()
      .split('\n')
      .map((row) => row.split(/ {2,}/).slice(0, 6));
    t.deepEqual(rows, [
      ['CONTAINER', 'NAME', 'POD', 'NAMESPACE', 'IMAGE', 'STATE'],
      ['1ccccccccccc', 'server', 'web', 'default', 'img:1', 'running'],
      ['-', '-', 'empty', 'default', '-', 'ready'],
    ]);
    t.regex((await berth('ps', '-a')).out, /^12dddddddddd +side .*exited/m);
    t.is((await berth('ps', '-q')).out, `1${id('c').slice(1)}\n`);
    const told = JSON.parse((await berth('ps', '-a', '--json')).out);
    t.deepEqual(
      [told.containers, told.pods].map((list) => list.map((one: Container) => one.metadata?.name)),
      [
        ['server', 'side'],
        ['web', 'empty'],
      ],
    );
  }));

test("exec finds the container by pod, name, pod/name and id, and ends with the command's code", (t) => {
  const asked: unknown[] = [];
  const ExecSync: Handlers['ExecSync'] = async ({ container_id, cmd, timeout }) => {
    asked.push([container_id[1], cmd, timeout]);
    return { stdout: Buffer.from('out'), stderr: Buffer.from('err'), exit_code: 7 };
  };
  return withDaemon({ ExecSync }, async (berth) => {
    for (const word of ['web', 'server', 'web/server', 'default/web', '1cc'])
      t.deepEqual(await berth('exec', '--timeout', '0', word, 'ls', '--all'), { code: 7, out: 'out', error: 'err' });
    await berth('exec', '--timeout', '5', 'side', 'x');
    t.deepEqual(asked.at(0), ['c', ['ls', '--all'], 0n]);
    t.deepEqual(asked.at(-1), ['2', ['x'], 5n]);
  });
});

test('a word that means nothing or several things is an error in words, with 125 from exec and 1 from stop', (t) =>
  withDaemon({}, async (berth) => {
    t.deepEqual(await berth('exec', 'nobody', 'x'), {
      code: 125,
      out: '',
      error: 'berth exec: there is no pod or container "nobody"; see berth ps --all\n',
    });
    t.like(await berth('stop', 'nobody'), { code: 1 });
    t.regex((await berth('exec', 'empty', 'x')).error, /pod empty has no container/);
    t.regex(
      (await berth('stop', '--time', 'soon', 'web')).error,
      /--time: wants a whole number of seconds, not "soon"\nusage: berth stop/,
    );
  }));

test('an id prefix that two objects have is refused with both', (t) =>
  withDaemon(
    { ListContainers: async () => ({ containers: [{ id: id('a') }, { id: `${id('a').slice(1)}b` }] }) },
    async (berth) => {
      t.regex(
        (await berth('stop', 'aaaa')).error,
        /"aaaa" could be pod a{12}, container a{12}, container a{12}: use an id/,
      );
    },
  ));

test("stop ends a pod's containers with the grace given and then the pod; an error stops there", (t) => {
  const asked: string[] = [];
  const handlers: Handlers = {
    StopContainer: async ({ container_id, timeout }) => {
      asked.push(`${container_id.slice(0, 2)} ${timeout}`);
      return {};
    },
    StopPodSandbox: async () => {
      asked.push('pod');
      return {};
    },
  };
  return withDaemon(handlers, async (berth) => {
    t.deepEqual(await berth('stop', '-t', '3', 'web'), { code: 0, out: 'web\n', error: '' });
    t.deepEqual(asked.toSorted(), ['12 3', '1c 3', 'pod']);
    t.is(asked.at(-1), 'pod');
  });
});

test('update asks for the limits that are named, in the request’s units, and for nothing else', (t) => {
  const asked: unknown[] = [];
  const UpdateContainerResources: Handlers['UpdateContainerResources'] = async ({ container_id: container, linux }) => {
    const given = Object.entries(linux ?? {}).filter(([, value]) => value && typeof value !== 'object');
    asked.push([container.slice(0, 2), Object.fromEntries(given)]);
    return {};
  };
  return withDaemon({ UpdateContainerResources }, async (berth) => {
    const memory = ['-m', '512m', '--memory-swap=-1', '--cpus', '1.5', '--cpuset-cpus', '0'];
    t.deepEqual(await berth('update', ...memory, 'server', 'web/side'), {
      code: 0,
      out: 'server\nweb/side\n',
      error: '',
    });
    const all = {
      memory_limit_in_bytes: 536_870_912n,
      memory_swap_limit_in_bytes: -1n,
      cpu_quota: 150_000n,
      cpu_period: 100_000n,
      cpuset_cpus: '0',
    };
    t.deepEqual(asked.splice(0), [
      ['1c', all],
      ['12', all],
    ]);
    await berth(
      'update',
      '-c',
      '7',
      '--cpu-quota=-1',
      '--cpu-period',
      '9',
      '--memory',
      '1.5G',
      '--cpuset-mems',
      '1',
      'web',
    );
    const second = {
      cpu_shares: 7n,
      cpu_quota: -1n,
      cpu_period: 9n,
      memory_limit_in_bytes: 1_610_612_736n,
      cpuset_mems: '1',
    };
    t.deepEqual(asked, [['1c', second]]);
    t.regex(
      (await berth('update', '-m', 'much', 'web')).error,
      /--memory: wants a size such as 512m or 2g, not "much"/,
    );
    t.regex((await berth('update', '--cpus', '0', 'web')).error, /--cpus: wants a number of processors/);
    t.is(asked.length, 1);
  });
});

test('rm refuses what runs, and --force removes it', (t) => {
  const removed: string[] = [];
  const handlers: Handlers = {
    RemoveContainer: async ({ container_id }) => {
      removed.push(container_id.slice(0, 2));
      return {};
    },
    StopPodSandbox: async () => ({}),
    RemovePodSandbox: async () => {
      removed.push('pod');
      return {};
    },
  };
  return withDaemon(handlers, async (berth) => {
    t.like(await berth('rm', 'server'), {
      code: 1,
      error: 'berth rm: server is running: stop it first, or use --force\n',
    });
    t.like(await berth('rm', 'side'), { code: 0 });
    t.like(await berth('rm', '-f', 'web'), { code: 0 });
    t.deepEqual(removed, ['12', 'pod']);
  });
});

test("pull prints a line for each change of phase and the id last; a failure is told with the daemon's words", (t) => {
  const digest = `sha256:${'e'.repeat(64)}`;
  const handlers: Handlers = {
    async *Pull({ image }) {
      if (image === 'bad') throw new BerthError('not-found', 'pull image bad: manifest unknown');
      yield { digest, phase: 'WAITING' };
      for (let offset = 0; offset <= 1024; offset += 256) yield { digest, phase: 'DOWNLOADING', offset, total: 1024 };
      yield { digest, phase: 'DONE', offset: 1024, total: 1024 };
      yield { image_id: 'sha256:id', phase: 'DONE' };
    },
  };
  return withDaemon(handlers, async (berth) => {
    t.deepEqual(await berth('pull', 'a'), {
      code: 0,
      out: 'eeeeeeeeeeee: downloading (1.0 KiB)\neeeeeeeeeeee: done (1.0 KiB)\nsha256:id\n',
      error: '',
    });
    t.deepEqual(await berth('pull', 'bad'), {
      code: 1,
      out: '',
      error: 'berth pull: pull image bad: manifest unknown\n',
    });
  });
});

test('on a terminal pull draws one line a layer over and over', (t) => {
  const digests = ['e', 'f'].map((letter) => `sha256:${letter.repeat(64)}`);
  const Pull: Handlers['Pull'] = async function* () {
    for (const digest of digests) {
      yield { digest, phase: 'DOWNLOADING', offset: 5, total: 10 };
      await sleep(120);
    }
    for (const digest of digests) yield { digest, phase: 'DONE', total: 10 };
    yield { image_id: 'sha256:id' };
  };
  return withDaemon(
    { Pull },
    async (berth) => {
      const { out } = await berth('pull', 'a');
      const frames = out.split('\u001b[2A');
      t.true(frames.length > 1);
      t.is(frames.at(-1)?.match(/done/g)?.length, 2);
    },
    true,
  );
});

const runHandlers = (asked: unknown[], logText: string, exitCode: number): Handlers => {
  let directory = '';
  return {
    ImageStatus: async ({ image }) => (image?.image === 'here' ? { image: { id: 'sha256:1' } } : {}),
    RunPodSandbox: async ({ config }) => {
      directory = config?.log_directory ?? '';
      asked.push(['pod', config?.metadata?.name, (await readdir(dirname(directory))).length]);
      return { pod_sandbox_id: id('f') };
    },
    CreateContainer: async ({ config }) => {
      asked.push(['container', config?.args, config?.envs.map(({ key, value }) => `${key}=${Buffer.from(value)}`)]);
      return { container_id: id('9') };
    },
    StartContainer: async () => {
      if (exitCode < 0) throw new BerthError('internal', 'start container: mount /proc: EPERM');
      await mkdir(directory, { recursive: true });
      await writeFile(join(directory, 'main.log'), logText);
      return {};
    },
    ContainerStatus: async () => ({
      status: {
        state: 'CONTAINER_EXITED',
        exit_code: exitCode,
        log_path: join(directory, 'main.log'),
        metadata: { name: 'main' },
      },
    }),
    ListContainers: async () => ({ containers: [] }),
    PodSandboxStatus: async () => ({ status: { metadata: { name: 'x', uid: 'y' } } }),
    StopPodSandbox: async () => ({}),
    RemovePodSandbox: async () => {
      asked.push(['removed']);
      return {};
    },
  };
};

test("run shows both streams of the log and ends with the container's code", (t) => {
  const asked: unknown[] = [];
  const log = '2026-11-22T04:32:43Z stdout F hello\n2026-11-22T04:32:43Z stderr F oops\n';
  return withDaemon(runHandlers(asked, log, 42), async (berth, directory) => {
    t.deepEqual(await berth('run', '--rm', '--name', 'x', '-e', 'A=b=c', 'here', 'echo', '--rm'), {
      code: 42,
      out: 'hello\n',
      error: 'oops\n',
    });
    t.deepEqual(
      asked.map((entry) => (entry as unknown[])[0]),
      ['pod', 'container', 'removed'],
    );
    t.deepEqual(await readdir(join(directory, 'logs')), []);
    t.deepEqual(asked[1], ['container', ['echo', '--rm'], ['A=b=c']]);
  });
});

test('run refuses the name of a pod that berth run has made before', (t) => {
  const asked: unknown[] = [];
  const there = { id: id('e'), metadata: { name: 'web', namespace: 'berth' } };
  const handlers = { ...runHandlers(asked, '', 0), ListPodSandbox: async () => ({ items: [...pods, there] }) };
  return withDaemon(handlers, async (berth) => {
    t.deepEqual(await berth('run', '--name', 'web', 'here'), {
      code: 125,
      out: '',
      error: 'berth run: pod web is there already (eeeeeeeeeeee): berth rm it first, or give another --name\n',
    });
    t.deepEqual(asked, []);
  });
});

test('run removes the pod again when the container does not start, and ends with 125', (t) => {
  const asked: unknown[] = [];
  return withDaemon(runHandlers(asked, '', -1), async (berth, directory) => {
    t.deepEqual(await berth('run', 'here'), {
      code: 125,
      out: '',
      error: 'berth run: start container: mount /proc: EPERM\n',
    });
    t.deepEqual(asked.at(-1), ['removed']);
    t.deepEqual(await readdir(join(directory, 'logs')), []);
  });
});

test('wrong usage ends with 2 and shows how it is meant', (t) =>
  withDaemon({}, async (berth) => {
    for (const argv of [
      ['run'],
      ['run', '--rmm', 'x'],
      ['exec', 'a'],
      ['pull'],
      ['pull', '-u', 'x', 'a'],
      ['logs'],
      ['logs', '-n', 'some', 'x'],
      ['ps', '-q', '--json'],
      ['run', '-d', '--rm', 'x'],
      ['ps', '--al'],
      ['stop'],
      ['update', 'web'],
      ['update', '-m', '5m'],
      ['update', '--cpus', '1', '--cpu-quota', '5', 'web'],
      ['rm'],
      ['run', '-e', 'x', 'i'],
      ['run', '--name', '../x', 'i'],
    ]) {
      const { code, error } = await berth(...argv);
      t.is(code, 2, argv.join(' '));
      t.regex(error, new RegExp(`^berth ${argv[0]}: .*\\nusage: berth ${argv[0]} `));
    }
    t.regex((await berth('run', '-it', 'here')).error, /Unknown option '-i': .*berth exec -it\n/);
    t.deepEqual(await berth('pods'), {
      code: 2,
      out: '',
      error: 'berth: there is no verb "pods": it is berth ps; see berth help\n',
    });
    t.deepEqual(await berth('dance'), { code: 2, out: '', error: 'berth: there is no verb "dance"; see berth help\n' });
  }));

test('help names every verb, and help VERB and VERB --help its options', (t) =>
  withDaemon({}, async (berth) => {
    const { out } = await berth('help');
    for (const name of [
      'run',
      'ps',
      'images',
      'pull',
      'logs',
      'exec',
      'attach',
      'cp',
      'port-forward',
      'update',
      'stop',
      'rm',
      'info',
      'import',
    ])
      t.regex(out, new RegExp(`^ {2}${name} `, 'm'));
    t.is((await berth()).out, out);
    t.regex((await berth('help', 'run')).out, /^usage: berth run .*\n\n {2}--rm/m);
    t.is((await berth('run', '--help')).out, (await berth('help', 'run')).out);
    t.is((await berth('system', 'df', '--help')).out, (await berth('help', 'system')).out);
    t.regex((await berth('--version')).out, /^berth \d+\.\d+\.\d+\n$/);
  }));

test('what the daemon cannot reach is not taken for the daemon', (t) => {
  const text = 'pull image a.example/x: connect ECONNREFUSED 192.0.2.1:443';
  const ListPodSandbox: Handlers['ListPodSandbox'] = async () => {
    throw new BerthError('unavailable', text);
  };
  return withDaemon({ ListPodSandbox }, async (berth) => {
    t.is((await berth('ps')).error, `berth ps: ${text}\n`);
  });
});

test('without a daemon the error says where nobody answers', async (t) => {
  let error = '';
  const out = {
    tty: false,
    columns: 80,
    write: () => {},
    error: (data: string | Uint8Array) => {
      error += String(data);
    },
  };
  const around = {
    terminal: ownTerminal(),
    address: undefined,
    logRoot: '/nowhere',
    out,
    signal: new AbortController().signal,
  };
  t.is(await runCommand(['--address', 'unix:///nowhere/b.sock', 'ps'], around), 1);
  t.is(
    error,
    'berth ps: nobody answers on unix:///nowhere/b.sock: is berthd running? (another address: --address or BERTH_ADDRESS)\n',
  );
  error = '';
  t.is(await runCommand(['--address', 'tcp://x', 'ps'], around), 1);
  t.regex(error, /not of the form unix/);
});

test('system check prints a table of what is wrong and ends with 1 while something is', (t) => {
  const owners = ['app:1'];
  const handlers: Handlers = {
    async *Check({ repair }) {
      yield { offset: 0, total: 2048, subject: 'sha256:x' };
      const finding = {
        kind: 'LAYER',
        subject: 'sha256:x',
        problem: 'other content',
        owners,
        repaired: repair,
      } as const;
      yield { offset: 2048, total: 2048, finding };
      yield { done: true };
    },
  };
  return withDaemon(handlers, async (berth) => {
    const { code, out } = await berth('system', 'check');
    t.is(code, 1);
    t.regex(out, /^layer +sha256:x +app:1 +- +other content\n2\.0 KiB checked: 1 wrong$/m);
    const repaired = await berth('system', 'check', '--repair');
    t.is(repaired.code, 0);
    t.regex(
      repaired.out,
      /dropped +other content\n2\.0 KiB checked: nothing is wrong, 1 dropped: pull those images again$/m,
    );
    t.like(await berth('system', 'mend'), { code: 2 });
  });
});

test('system prune without a terminal wants --yes, tells what goes and what is free; a dry run asks for nothing to go', (t) => {
  const asked: unknown[] = [];
  const handlers: Handlers = {
    async *Prune({ dry_run, older_than_seconds }) {
      asked.push([dry_run, older_than_seconds]);
      yield { image: { id: 'sha256:1', names: ['app:1'], unique_bytes: 4096 }, total_bytes: 4096 };
      yield { freed_bytes: dry_run ? 0 : 4096, total_bytes: 4096, done: true };
    },
  };
  return withDaemon(handlers, async (berth) => {
    t.like(await berth('system', 'prune'), { code: 2 });
    t.like(await berth('system', 'prune', '--dry-run', '--older-than', '2h'), { code: 0 });
    t.deepEqual(asked.splice(0), [
      [true, 0n],
      [true, 7200n],
    ]);
    t.regex(
      (await berth('system', 'prune', '-y')).out,
      /^app:1 .*\n1 images that .*4\.0 KiB would be free\nremoved app:1\nfreed 4\.0 KiB\n$/m,
    );
    t.deepEqual(asked, [
      [true, 0n],
      [false, 0n],
    ]);
  });
});

test('info tells where metrics are served, and what hangs, each on its line', async (t) => {
  const facts = { version: '0.1.0', pid: 7, pods: 1, containers: 2, images: 3, metrics: 'unix:///run/berth/http.sock' };
  const stuck = [
    { stage: 'cni bridge ADD', object: '/run/berth/sandboxes/1/cni.lock', seconds: 61 },
    { stage: 'chcon', object: '', seconds: 700 },
  ];
  const Status = async () => ({});
  await withDaemon({ Status, Info: async () => ({ ...facts, stuck }) }, async (berth) => {
    const { out } = await berth('info');
    t.regex(out, /^metrics +unix:\/\/\/run\/berth\/http\.sock$/m);
    t.regex(out, /^stuck +cni bridge ADD for 61 s: \/run\/berth\/sandboxes\/1\/cni\.lock\nstuck +chcon for 700 s$/m);
  });
  await withDaemon({ Status, Info: async () => ({ ...facts, metrics: '' }) }, async (berth) => {
    const { out } = await berth('info');
    t.regex(out, /^metrics +not served$/m);
    t.notRegex(out, /^stuck/m);
  });
});

test('top and events refuse what they do not know, with their usage, before they ask the daemon', (t) =>
  withDaemon({}, async (berth) => {
    for (const [words, pattern] of [
      ['top --sort x', /--sort: wants one of cpu, memory, network, io, pids, name/],
      ['top --view all', /--view: wants one of both, pods, containers/],
      ['top --interval 0.1', /--interval: wants seconds from 0\.2 to 3600, not "0\.1"/],
      ['top web', /not understood: web/],
      ['events --for 0s', /--for: wants a time from 1s to 23d/],
      ['events --for 30d', /--for: wants a time from 1s to 23d/],
      ['events --filter image=x', /--filter: wants pod=, .*not "image=x"/],
    ] as const) {
      const { code, error } = await berth(...words.split(' '));
      t.is(code, 2, words);
      t.regex(error, pattern);
      t.regex(error, /^usage: berth (?:top|events) /m);
    }
  }));
