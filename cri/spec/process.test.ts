import test from 'ava';
import { bytesOfText } from '../../shim/text.ts';
import { processArgs, workingDirectory } from './args.ts';
import { environment } from './environment.ts';

const image = { Entrypoint: ['/entry', '-e'], Cmd: ['cmd', '-c'] };
const defaults = { hostname: 'web-0', home: '/root' };

test('command and args combine with Entrypoint and Cmd as Kubernetes documents', (t) => {
  t.deepEqual(processArgs({}, image), ['/entry', '-e', 'cmd', '-c']);
  t.deepEqual(processArgs({ command: ['/ep-2'] }, image), ['/ep-2']);
  t.deepEqual(processArgs({ args: ['foo', 'bar'] }, image), ['/entry', '-e', 'foo', 'bar']);
  t.deepEqual(processArgs({ command: ['/ep-2'], args: ['foo'] }, image), ['/ep-2', 'foo']);
  t.deepEqual(processArgs({ args: ['only'] }, { Cmd: ['x'] }), ['only']);
});

test('nothing to run is refused', (t) => {
  t.throws(() => processArgs({}, { Entrypoint: null, Cmd: [] }), { code: 'invalid-argument', message: /command/ });
  t.throws(() => processArgs({ command: [''] }, image), { code: 'invalid-argument' });
});

test('a NUL in an argument is refused with its place', (t) => {
  t.throws(() => processArgs({ command: ['a', 'b\0c'] }, image), { message: /argument 1 holds a NUL/ });
});

test('the working directory is the request’s, else the image’s, else /', (t) => {
  t.is(workingDirectory({}, {}), '/');
  t.is(workingDirectory({}, { WorkingDir: 'app/../srv' }), '/srv');
  t.is(workingDirectory({ working_dir: '/data//x/' }, { WorkingDir: '/app' }), '/data/x');
  t.is(workingDirectory({ working_dir: '/../../etc' }, {}), '/etc');
  t.throws(() => workingDirectory({ working_dir: '/a\nb' }, {}), { code: 'invalid-argument' });
});

test('the request’s environment wins over the image’s, the image’s over the defaults, the last over the first', (t) => {
  const envs = [
    { key: 'A', value: Buffer.from('1') },
    { key: 'A', value: Buffer.from('2') },
  ];
  const made = environment({ envs }, { Env: ['A=image', 'PATH=/bin', 'BARE', 'EQ=a=b'] }, defaults);
  t.deepEqual(made, ['PATH=/bin', 'HOSTNAME=web-0', 'HOME=/root', 'A=2', 'BARE=', 'EQ=a=b']);
});

test('PATH, HOSTNAME and HOME have defaults, TERM only with a terminal', (t) => {
  t.true(environment({}, {}, defaults).some((entry) => entry.startsWith('PATH=/usr/local/sbin:')));
  t.false(environment({}, {}, defaults).includes('TERM=xterm'));
  t.true(environment({ tty: true }, {}, defaults).includes('TERM=xterm'));
  t.true(environment({ tty: true }, { Env: ['TERM=vt100', 'HOME='] }, defaults).includes('TERM=vt100'));
});

test('a value keeps its bytes when it is not UTF-8', (t) => {
  const [entry = ''] = environment(
    { envs: [{ key: 'K', value: Buffer.from([0x61, 0xff, 0x0a]) }] },
    {},
    defaults,
  ).slice(-1);
  t.deepEqual(bytesOfText(entry), Buffer.from([0x4b, 0x3d, 0x61, 0xff, 0x0a]));
});

for (const key of ['', 'A=B', 'A\0B'])
  test(`the variable name ${JSON.stringify(key)} is refused`, (t) => {
    t.throws(() => environment({ envs: [{ key, value: Buffer.from('v') }] }, {}, defaults), {
      code: 'invalid-argument',
    });
  });

test('a NUL in a value is refused', (t) => {
  t.throws(() => environment({ envs: [{ key: 'A', value: Buffer.from('a\0b') }] }, {}, defaults), { message: /"A"/ });
  t.throws(() => environment({}, { Env: ['A=a\0'] }, defaults), { message: /image Env/ });
});
