import test from 'ava';
import { proxyFor } from './proxy.ts';

const at = (url: string, environment: Record<string, string>): string | undefined =>
  proxyFor(new URL(url), environment)?.name;
const proxy = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'http://secure:2' };

test('HTTPS_PROXY is for https and HTTP_PROXY for http', (t) => {
  t.is(at('https://a.example/', proxy), 'secure:2');
  t.is(at('http://a.example/', proxy), 'plain:1');
  t.is(at('https://a.example/', { HTTP_PROXY: 'http://plain:1' }), undefined);
  t.is(at('https://a.example/', {}), undefined);
});

test('lower case counts where upper case is not set', (t) => {
  t.is(at('https://a.example/', { https_proxy: 'http://small:1' }), 'small:1');
  t.is(at('https://a.example/', { https_proxy: 'http://small:1', HTTPS_PROXY: '' }), 'small:1');
  t.is(at('https://a.example/', { https_proxy: 'http://small:1', HTTPS_PROXY: 'http://large:1' }), 'large:1');
  t.is(at('https://a.example/', { ...proxy, no_proxy: 'a.example' }), undefined);
});

test('a proxy without a scheme is one by HTTP, and its user is its Proxy-Authorization', (t) => {
  t.is(at('https://a/', { HTTPS_PROXY: 'proxy.example:3128' }), 'proxy.example:3128');
  const found = proxyFor(new URL('https://a/'), { HTTPS_PROXY: 'http://me:p%40ss@proxy.example:3128' });
  t.is(found?.authorization, `Basic ${Buffer.from('me:p@ss').toString('base64')}`);
  t.is(found?.name, 'proxy.example:3128');
});

test('a proxy variable that cannot be used is an error that shows no password', (t) => {
  const message = /^HTTPS_PROXY: a proxy by socks5:\/\/ is not spoken to/;
  t.throws(() => at('https://a/', { HTTPS_PROXY: 'socks5://me:secret@p:1080' }), { message });
  t.throws(() => at('https://a/', { HTTPS_PROXY: 'http://me:secret@:99999999' }), {
    message: /^HTTPS_PROXY is not a URL$/,
  });
});

test('the loopback is never asked by proxy', (t) => {
  for (const host of ['localhost', 'LOCALHOST:5000', '127.0.0.1:5000', '127.8.8.8', '[::1]:5000'])
    t.is(at(`https://${host}/`, proxy), undefined, host);
});

const exempt: readonly (readonly [list: string, url: string, isExempt: boolean])[] = [
  ['*', 'https://a.example/', true],
  ['a.example', 'https://a.example/', true],
  ['A.Example', 'https://a.EXAMPLE/', true],
  ['a.example', 'https://b.a.example/', true],
  ['a.example', 'https://ba.example/', false],
  ['.a.example', 'https://a.example/', false],
  ['.a.example', 'https://b.a.example/', true],
  ['*.a.example', 'https://b.a.example/', true],
  ['a.example:5000', 'https://a.example:5000/', true],
  ['a.example:5000', 'https://a.example/', false],
  ['a.example:443', 'https://a.example/', true],
  ['a.example:80', 'http://a.example/', true],
  [' x , a.example ,, y', 'https://a.example/', true],
  ['10.0.0.0/8', 'https://10.1.2.3:5000/', true],
  ['10.0.0.0/8', 'https://11.1.2.3/', false],
  ['10.0.0.0/8', 'https://10.example/', false],
  ['10.0.0.0/40', 'https://10.1.2.3/', false],
  ['10.1.2.3', 'https://10.1.2.3/', true],
  ['10.1.2.3', 'https://10.1.2.30/', false],
  ['10.1.2.3:5000', 'https://10.1.2.3:5000/', true],
  ['10.1.2.3:5000', 'https://10.1.2.3:5001/', false],
  ['fd00::/8', 'https://[fd00::1]:5000/', true],
  ['fd00::1', 'https://[fd00:0::1]/', true],
  ['[fd00::1]:5000', 'https://[fd00::1]:5000/', true],
  ['[fd00::1]:5000', 'https://[fd00::1]:5001/', false],
  ['fd00::/8', 'https://[fe00::1]/', false],
  ['example', 'https://a.b.example/', true],
];

for (const [list, url, isExempt] of exempt)
  test(`NO_PROXY=${list} ${isExempt ? 'exempts' : 'does not exempt'} ${url}`, (t) => {
    t.is(at(url, { ...proxy, NO_PROXY: list }) === undefined, isExempt);
  });
