import test from 'ava';
import { BerthError, codeOf } from '../../base/errors.ts';
import type { HelperRequest, HelperResult } from '../types.ts';
import { CredentialPrograms } from './credential-program.ts';

const { signal } = new AbortController();
const request = { name: 'sh', args: ['-c', 'x'], stdin: 'host', signal };
const programs = (run: (request: HelperRequest) => Promise<HelperResult>) =>
  new CredentialPrograms({ run }, ['/nowhere', '/bin', '/usr/bin']);

test('a program gets a minute, and the error of one that takes longer has nothing of what it wrote', async (t) => {
  let asked: HelperRequest | undefined;
  const slow = programs((one) => {
    asked = one;
    return Promise.reject(new BerthError('deadline-exceeded', 'sh: not done, and its output was SECRET'));
  });
  const error = await t.throwsAsync(slow.run(request), { message: '/bin/sh: not done in 60 s, killed' });
  t.is(codeOf(error), 'deadline-exceeded');
  t.is(asked?.timeoutMs, 60_000);
  t.deepEqual(asked?.argv, ['/bin/sh', '-c', 'x']);
  t.deepEqual(Object.keys(asked?.env ?? {}), ['PATH', 'HOME']);
});

test('a program that cannot be run is named with the kind of failure alone', async (t) => {
  const broken = programs(() => Promise.reject(new Error('exec: SECRET')));
  await t.throwsAsync(broken.run(request), { message: '/bin/sh: cannot be run (internal)' });
});

test('a name with a path, an option or nothing in it is no program', async (t) => {
  const never = programs(() => Promise.reject(new Error('was run')));
  for (const name of ['', '.', '..', '../sh', '/bin/sh', '-sh', 'a b', 'sh\n', 'sh\0'])
    await t.throwsAsync(
      never.run({ ...request, name }),
      { message: /is not the name of a program/ },
      JSON.stringify(name),
    );
});
