import test from 'ava';
import { codeOf } from '../../base/errors.ts';
import { Authorizer } from './authorizer.ts';
import type { Credentials } from './credentials.ts';
import type { Keyring } from './keyring.ts';
import { pullScope, pushScope } from './scopes.ts';
import type { Message, Reply, Sender } from './transport.ts';

const { signal } = new AbortController();
const password = (username: string): Credentials => ({ kind: 'password', username, password: 'p' });
const basic = (username: string): string => `Basic ${Buffer.from(`${username}:p`).toString('base64')}`;
const keyring = (...list: readonly Credentials[]): Keyring & { asked: string[] } => {
  const asked: string[] = [];
  return {
    asked,
    credentialsFor: async (host, repository) => {
      asked.push(`${host}/${repository}`);
      return { list: list.map((credentials, at) => ({ credentials, source: `source ${at}` })), problems: [] };
    },
  };
};

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}
type Request = { readonly url: URL; readonly message: Message; readonly authorization: string };

/** `answer` is a registry and its realm; what it was asked is kept. */
const world = (answer: (request: Request, at: number) => Answer) => {
  const requests: Request[] = [];
  const sender: Sender = {
    send: async (url, message): Promise<Reply> => {
      const request = { url, message, authorization: String(message.headers.authorization ?? '') };
      requests.push(request);
      const { status, headers = {}, body = '' } = answer(request, requests.length);
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      const chunks = (async function* () {
        yield Buffer.from(text);
      })();
      return { url, status, headers, body: chunks, discard: () => undefined, destroy: () => undefined };
    },
  };
  const realm = (): Request[] => requests.filter(({ url }) => url.pathname === '/token');
  return { requests, sender, realm };
};
const subject = { host: 'r.example', repository: 'a/b' };
const url = new URL('https://r.example/v2/a/b/manifests/1');
const bearer = {
  status: 401,
  headers: { 'www-authenticate': 'Bearer realm="https://auth.example/token",service="s"' },
};
const isToken = ({ url: { pathname } }: Request): boolean => pathname === '/token';
const scopesOf = ({ url: { searchParams } }: Request): string[] => searchParams.getAll('scope');

/** A registry that takes the token `t` and a realm that gives it to who `isKnown`. */
const tokenWorld = (isKnown: (request: Request) => boolean, token: object = { token: 't' }) =>
  world((request) => {
    if (isToken(request)) return isKnown(request) ? { status: 200, body: token } : { status: 401 };
    return request.authorization === 'Bearer t' ? { status: 200 } : bearer;
  });

test('nobody is asked for credentials before the registry does', async (t) => {
  const ring = keyring(password('a'));
  const { sender, requests } = world(() => ({ status: 200 }));
  t.is((await new Authorizer(sender, ring, subject).send(url, { headers: {}, signal })).status, 200);
  t.deepEqual(ring.asked, []);
  t.deepEqual(
    requests.map(({ authorization }) => authorization),
    [''],
  );
});

test('a token is asked for with the challenge’s service and scopes joined with those of the request', async (t) => {
  const challenge =
    'Bearer realm="https://auth.example/token?x=1",service="s",scope="repository:a/b:pull registry:catalog:*"';
  const { sender, realm } = world((request) => {
    if (isToken(request)) return { status: 200, body: { access_token: 't' } };
    return request.authorization === 'Bearer t'
      ? { status: 202 }
      : { status: 401, headers: { 'www-authenticate': challenge } };
  });
  const scopes = [pushScope('a/b'), pullScope('other')];
  const message = { method: 'POST', headers: {}, signal } as const;
  t.is((await new Authorizer(sender, keyring(password('a')), subject).send(url, message, scopes)).status, 202);
  const [asked] = realm();
  t.deepEqual(asked && scopesOf(asked), ['repository:a/b:pull,push', 'registry:catalog:*', 'repository:other:pull']);
  t.is(asked?.url.searchParams.get('x'), '1');
  t.is(asked?.url.searchParams.get('service'), 's');
  t.is(asked?.authorization, basic('a'));
});

test('each set of scopes has a token of its own, and each is asked for once', async (t) => {
  const { sender, realm } = tokenWorld(() => true);
  const ring = keyring(password('a'));
  const authorizer = new Authorizer(sender, ring, subject);
  const sends = [
    undefined,
    [pullScope('a/b')],
    [pushScope('a/b')],
    [pushScope('a/b'), pullScope('a/b')],
    undefined,
  ].map((scopes) => authorizer.send(url, { headers: {}, signal }, scopes));
  await Promise.all(sends);
  t.deepEqual(realm().map(scopesOf), [['repository:a/b:pull'], ['repository:a/b:pull,push']]);
  t.deepEqual(ring.asked, ['r.example/a/b']);
});

test('a realm without GET is asked by the password grant', async (t) => {
  const { sender, realm } = world((request) => {
    if (isToken(request))
      return request.message.method === 'POST' ? { status: 200, body: { access_token: 't' } } : { status: 405 };
    return request.authorization === 'Bearer t' ? { status: 200 } : bearer;
  });
  t.is(
    (await new Authorizer(sender, keyring(password('a b')), subject).send(url, { headers: {}, signal })).status,
    200,
  );
  const form = new URLSearchParams(String(realm()[1]?.message.body));
  t.deepEqual(Object.fromEntries(form), {
    grant_type: 'password',
    username: 'a b',
    password: 'p',
    service: 's',
    client_id: 'berth',
    scope: 'repository:a/b:pull',
  });
  t.is(realm()[1]?.authorization, '');
});

test('an identity token goes by the refresh grant and nowhere else', async (t) => {
  const { sender, realm, requests } = tokenWorld(({ message }) => message.method === 'POST');
  const authorizer = new Authorizer(sender, keyring({ kind: 'identity', token: 'identity' }), subject);
  t.is((await authorizer.send(url, { headers: {}, signal })).status, 200);
  t.is(new URLSearchParams(String(realm()[0]?.message.body)).get('refresh_token'), 'identity');
  t.is(
    requests.filter(({ url: { href }, authorization }) => `${href} ${authorization}`.includes('identity')).length,
    0,
  );
});

test('of several credentials each is shown until one is taken, which is kept to', async (t) => {
  const { sender, realm } = tokenWorld(({ authorization }) => authorization === basic('c'));
  const authorizer = new Authorizer(
    sender,
    keyring(password('a'), password('b'), password('c'), password('d')),
    subject,
  );
  t.is((await authorizer.send(url, { headers: {}, signal })).status, 200);
  t.is((await authorizer.send(url, { headers: {}, signal }, [pushScope('a/b')])).status, 200);
  t.deepEqual(
    realm().map(({ authorization }) => authorization),
    [basic('a'), basic('b'), basic('c'), basic('c')],
  );
});

test('Basic credentials that are refused, by 401 or 403, are followed by the next ones', async (t) => {
  for (const status of [401, 403]) {
    const { sender, requests } = world(({ authorization }) => {
      if (authorization === basic('b')) return { status: 200 };
      return { status: authorization === '' ? 401 : status, headers: { 'www-authenticate': 'Basic realm="x"' } };
    });
    const authorizer = new Authorizer(sender, keyring(password('a'), password('b')), subject);
    t.is((await authorizer.send(url, { headers: {}, signal })).status, 200);
    t.deepEqual(
      requests.map(({ authorization }) => authorization),
      ['', basic('a'), basic('b')],
    );
  }
});

test('credentials that were good once are not doubted by a 403', async (t) => {
  const { sender, requests } = world(({ authorization, url: { pathname } }) => {
    if (authorization === '') return { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
    return { status: pathname.endsWith('secret') ? 403 : 200 };
  });
  const authorizer = new Authorizer(sender, keyring(password('a'), password('b')), subject);
  await authorizer.send(url, { headers: {}, signal });
  t.is((await authorizer.send(new URL('https://r.example/secret'), { headers: {}, signal })).status, 403);
  t.false(requests.some(({ authorization }) => authorization === basic('b')));
});

test('when all are refused the error is unauthenticated and names their sources', async (t) => {
  const { sender, requests } = world(() => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }));
  const authorizer = new Authorizer(sender, keyring(password('a'), password('b')), subject);
  const error = await t.throwsAsync(authorizer.send(url, { headers: {}, signal }), {
    message: /answers 401: it refuses the credentials of source 0, and of source 1$/,
  });
  t.is(codeOf(error), 'unauthenticated');
  t.is(requests.length, 3);
});

test('a registry that refuses every new token is not asked for ever', async (t) => {
  let issued = 0;
  const { sender, requests } = world((request) => {
    issued += 1;
    return isToken(request) ? { status: 200, body: { token: `t${issued}` } } : bearer;
  });
  await t.throwsAsync(new Authorizer(sender, keyring(), subject).send(url, { headers: {}, signal }));
  t.is(requests.length, 3);
});

test('a token that has ended is renewed once, by all who need it together', async (t) => {
  let good = 1;
  const { sender, realm } = world((request) => {
    if (isToken(request)) return { status: 200, body: { token: `t${good}` } };
    return request.authorization === `Bearer t${good}` ? { status: 200 } : bearer;
  });
  const authorizer = new Authorizer(sender, keyring(password('a')), subject);
  const send = () => authorizer.send(url, { headers: {}, signal });
  await send();
  good = 2;
  await Promise.all([send(), send(), send(), send()]);
  t.is(realm().length, 2);
});

test('a token whose time is up is renewed before it is shown again', async (t) => {
  const { sender, requests } = tokenWorld(() => true, { token: 't', expires_in: 0.02 });
  const authorizer = new Authorizer(sender, keyring(), subject);
  await authorizer.send(url, { headers: {}, signal });
  await new Promise((done) => setTimeout(done, 30));
  t.is(await authorizer.header([pullScope('a/b')], signal), 'Bearer t');
  t.deepEqual(
    requests.map(({ url: { pathname } }) => pathname),
    [url.pathname, '/token', url.pathname, '/token'],
  );
});

test('a look-up that fails is an error of that request, and made again for the next', async (t) => {
  let failures = 1;
  const ring: Keyring = {
    credentialsFor: async () => {
      failures -= 1;
      if (failures >= 0) throw new Error('cancelled');
      return { list: [], problems: [] };
    },
  };
  const authorizer = new Authorizer(tokenWorld(() => true).sender, ring, subject);
  await t.throwsAsync(authorizer.send(url, { headers: {}, signal }), { message: 'cancelled' });
  t.is((await authorizer.send(url, { headers: {}, signal })).status, 200);
});

test('a refusal whose answer fails leaves no reply that holds its connection', async (t) => {
  let open = 0;
  const { sender } = tokenWorld(() => false);
  const counting: Sender = {
    send: async (to, message) => {
      const reply = await sender.send(to, message);
      if (to.pathname === '/token') return reply;
      open += 1;
      const end = (): void => {
        open -= 1;
      };
      return { ...reply, discard: end, destroy: end };
    },
  };
  const authorizer = new Authorizer(counting, keyring(password('a')), subject);
  await t.throwsAsync(authorizer.send(url, { headers: {}, signal }), { message: /token of auth\.example/ });
  t.is(open, 0);
});

test('a renewal whose beginner goes away is made again for the others that wait for it', async (t) => {
  const beginner = new AbortController();
  const asked = Promise.withResolvers<void>();
  const { sender } = tokenWorld(() => true);
  let tokens = 0;
  const slow: Sender = {
    send: async (to, message) => {
      if (to.pathname === '/token') tokens += 1;
      if (to.pathname === '/token' && message.signal === beginner.signal)
        await new Promise((_, reject) => {
          beginner.signal.addEventListener('abort', () => reject(beginner.signal.reason), { once: true });
          asked.resolve();
        });
      return sender.send(to, message);
    },
  };
  const authorizer = new Authorizer(slow, keyring(password('a')), subject);
  const first = authorizer.send(url, { headers: {}, signal: beginner.signal });
  await asked.promise;
  const others = [1, 2].map(() => authorizer.send(url, { headers: {}, signal }));
  await new Promise((done) => setImmediate(done));
  beginner.abort();
  await t.throwsAsync(first);
  t.deepEqual(
    (await Promise.all(others)).map(({ status }) => status),
    [200, 200],
  );
  t.is(tokens, 2);
});

test('who waits for a renewal by another leaves when its own caller goes, and the renewal goes on', async (t) => {
  const leaver = new AbortController();
  const asked = Promise.withResolvers<void>();
  const granted = Promise.withResolvers<void>();
  const { sender } = tokenWorld(() => true);
  const slow: Sender = {
    send: async (to, message) => {
      if (to.pathname === '/token') {
        asked.resolve();
        await granted.promise;
      }
      return sender.send(to, message);
    },
  };
  const authorizer = new Authorizer(slow, keyring(password('a')), subject);
  const first = authorizer.send(url, { headers: {}, signal });
  await asked.promise;
  const second = authorizer.send(url, { headers: {}, signal: leaver.signal });
  await new Promise((done) => setImmediate(done));
  leaver.abort(new Error('gone'));
  await t.throwsAsync(second, { message: 'gone' });
  granted.resolve();
  t.is((await first).status, 200);
});
