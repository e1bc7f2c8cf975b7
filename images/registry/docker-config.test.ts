import test from 'ava';
import { DockerConfig } from './docker-config.ts';

const read = (auths: object): DockerConfig => new DockerConfig(Buffer.from(JSON.stringify({ auths })), 'config.json');
const auth = Buffer.from('user:secret').toString('base64');

test('an entry that cannot be used is told without what may be a password, and the others count', (t) => {
  const config = read({
    'https://user:secret@registry.example/v2/': { auth },
    'registry.example:5000': { auth: 'no colon in it: c2VjcmV0' },
    'good.example': { auth },
  });
  t.deepEqual(config.problems, [
    'config.json: entry 1 of auths cannot be used',
    'config.json: auths["registry.example:5000"] cannot be used',
  ]);
  t.notRegex(config.problems.join(), /secret|c2VjcmV0/);
  const [entry] = config.answersFor('good.example', 'app').entries;
  t.deepEqual(entry?.credentials, { kind: 'password', username: 'user', password: 'secret' });
});
