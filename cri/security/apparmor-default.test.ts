import test from 'ava';
import { defaultProfile } from './apparmor-default.ts';

test('the profile lets the daemon and its own containers signal and look, and a confined daemon by its own name', (t) => {
  const plain = defaultProfile('unconfined', undefined);
  t.regex(plain, /^\nprofile berth-default flags=\(attach_disconnected,mediate_deleted\) \{\n/);
  t.is(plain.match(/peer=/g)?.length, 3);
  const confined = defaultProfile('/usr/sbin/berthd', 'abi/3.0');
  t.regex(confined, /^abi <abi\/3\.0>,\n/);
  t.regex(
    confined,
    /\n {2}signal \(receive\) peer=\/usr\/sbin\/berthd,\n {2}ptrace \(readby\) peer=\/usr\/sbin\/berthd,\n/,
  );
});

test('nothing is included and no variable is used: it loads wherever there is a parser', (t) => {
  t.notRegex(defaultProfile('unconfined', 'abi/3.0'), /include|@\{|\$/);
});
