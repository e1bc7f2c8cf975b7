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

test('of an entry with both forms auth counts, as for Docker and the kubelet', (t) => {
  const config = read({
    'a.example': { username: 'left', password: 'over', auth },
    'b.example': { username: 'u', auth: '' },
  });
  const passwords = ['a.example', 'b.example'].map((host) => config.answersFor(host, 'app').entries[0]?.credentials);
  t.deepEqual(passwords, [
    { kind: 'password', username: 'user', password: 'secret' },
    { kind: 'password', username: 'u', password: '' },
  ]);
});
