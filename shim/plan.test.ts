import test from 'ava';
import { Plan, withLimits } from './plan.ts';

const made = (limits: (plan: Plan) => void, score?: string): Buffer => {
  const plan = new Plan();
  plan.add('CGROUP_MAKE', '/cg/a', 1);
  plan.add('CGROUP_MAKE', '/cg/b', 1);
  limits(plan);
  plan.add('STDIO', 6, 0);
  plan.add('CLONE', 0x20000000, '');
  plan.add('WAIT');
  if (score !== undefined) plan.add('OOM_SCORE', score);
  plan.add('CGROUP_JOIN', '/cg/a/tasks');
  plan.add('EXEC', 1, 'true', 'A=');
  return plan.encode();
};

test('the limits of a plan are replaced in their place, and all else stays byte by byte', (t) => {
  const before = made((plan) => {
    plan.add('CGROUP_WRITE', '/cg/a/x', 'a long value that is gone', 0);
    plan.add('CGROUP_WRITE', '/cg/b/y', '2', 0);
  }, '0');
  const writes = ['1', '2', '3'].map((value) => ({ file: '/cg/a/x', value }));
  const wanted = made((plan) => {
    for (const { file, value } of writes) plan.add('CGROUP_WRITE', file, value, 0);
  }, '-7');
  t.deepEqual(withLimits(before, { writes, oomScoreAdj: -7 }), wanted);
});

test('a plan without a score gets one, and loses what is not asked for any more', (t) => {
  const bare = made(() => {});
  t.deepEqual(
    withLimits(bare, { writes: [], oomScoreAdj: 5 }),
    made(() => {}, '5'),
  );
  t.deepEqual(
    withLimits(
      made((plan) => plan.add('CGROUP_WRITE', '/f', '1', 0), '5'),
      { writes: [] },
    ),
    bare,
  );
});
