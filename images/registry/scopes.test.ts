import test from 'ava';
import { joinScopes, pullScope, pushScope } from './scopes.ts';

test('the actions of one repository are joined, those of two stay apart', (t) => {
  t.deepEqual(joinScopes([pullScope('a/b'), pushScope('a/b'), pullScope('c')]), [
    'repository:a/b:pull,push',
    'repository:c:pull',
  ]);
});

test('a port in the name is no action', (t) => {
  t.deepEqual(joinScopes(['repository:a.example:5000/b:pull', 'repository:a.example:5000/b:push']), [
    'repository:a.example:5000/b:pull,push',
  ]);
});

test('what is no scope of this form stays', (t) => {
  t.deepEqual(joinScopes(['registry:catalog:*', 'openid', 'openid']), ['registry:catalog:*', 'openid']);
});
