import test from 'ava';
import { readCredentials } from './credentials.ts';

test('auth is base64 of user and password, and a colon in the password stays', (t) => {
  const auth = Buffer.from('user:pass:word').toString('base64');
  t.deepEqual(readCredentials({ auth }, 'a.example'), { kind: 'password', username: 'user', password: 'pass:word' });
});

test('credentials for another server address are not used', (t) => {
  const auth = { username: 'u', password: 'p', serverAddress: 'https://a.example/v2/' };
  t.is(readCredentials(auth, 'b.example').kind, 'none');
  t.is(readCredentials(auth, 'a.example').kind, 'password');
});

test('a server address that ends like the host is not the host', (t) => {
  t.is(readCredentials({ username: 'u', serverAddress: 'evil-a.example' }, 'a.example').kind, 'none');
  t.is(readCredentials({ username: 'u', serverAddress: 'a.example:444' }, 'a.example').kind, 'none');
});

test('the names of Docker Hub are one', (t) => {
  t.is(readCredentials({ username: 'u', serverAddress: 'https://index.docker.io/v1/' }, 'docker.io').kind, 'password');
});

test('an auth without a colon is an invalid argument', (t) => {
  t.throws(() => readCredentials({ auth: 'bm9jb2xvbg==' }, 'a.example'), { message: /base64 of user:password/ });
});

test('a token with a line break is refused', (t) => {
  t.throws(() => readCredentials({ registryToken: 'a\r\nX: y' }, 'a.example'), { message: /registry_token/ });
});

test('no credentials are none', (t) => {
  t.is(readCredentials(undefined, 'a.example').kind, 'none');
  t.is(readCredentials({ username: '', password: '', auth: '' }, 'a.example').kind, 'none');
});
