import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { formatReference, parseReference } from './reference.ts';

const hex = 'a'.repeat(64);

const normalised: readonly (readonly [string, string])[] = [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['index.docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['docker.io/user/app:v1', 'docker.io/user/app:v1'],
  ['user/app', 'docker.io/user/app:latest'],
  ['localhost/app', 'localhost/app:latest'],
  ['localhost:5000/app:v1', 'localhost:5000/app:v1'],
  ['registry.example/a/b/c', 'registry.example/a/b/c:latest'],
  ['REGISTRY.example/app', 'registry.example/app:latest'],
  ['[::1]:5000/app', '[::1]:5000/app:latest'],
  ['127.0.0.1:5000/app', '127.0.0.1:5000/app:latest'],
  ['a.b/x__y/z--w.q', 'a.b/x__y/z--w.q:latest'],
  [`busybox@sha256:${hex}`, `docker.io/library/busybox@sha256:${hex}`],
  [`busybox:1.36@sha256:${hex}`, `docker.io/library/busybox@sha256:${hex}`],
  [`host:1/app:v@sha256:${hex}`, `host:1/app@sha256:${hex}`],
];

for (const [text, expected] of normalised)
  test(`${text} is ${expected}`, (t) => {
    t.is(formatReference(parseReference(text)), expected);
    t.is(formatReference(parseReference(expected)), expected);
  });

const refused: readonly (readonly [string, RegExp])[] = [
  ['', /no name/],
  [':v1', /no name/],
  ['Busybox', /lower case/],
  ['registry.example/App', /lower case/],
  ['registry.example/', /not allowed/],
  ['/app', /not allowed/],
  ['a//b', /not allowed/],
  ['a/../b', /not allowed/],
  ['app:', /tag ""/],
  ['app:-x', /tag/],
  [`app:${'x'.repeat(129)}`, /tag/],
  ['app@sha256:abc', /digest/],
  [`app@sha256:${hex}@sha256:${hex}`, /digest/],
  [`app@md5:${hex}`, /digest/],
  ['host:99999/app', /port 99999/],
  ['host:0/app', /port 0/],
  ['host:x/app', /host/],
  ['-host.example/app', /host/],
  ['host.example?x/app', /host/],
  ['user@host.example/app', /digest/],
  [hex, /image id/],
  [`host.example/${'a'.repeat(255)}`, /longer than 255/],
  ['app\n', /not allowed/],
  ['app name', /not allowed/],
  ['app___x', /not allowed/],
];

for (const [text, reason] of refused)
  test(`${JSON.stringify(text.slice(0, 40))} is refused as an invalid argument: ${reason.source}`, (t) => {
    const error = t.throws(() => parseReference(text), { instanceOf: BerthError, message: reason });
    t.is(error?.code, 'invalid-argument');
  });
