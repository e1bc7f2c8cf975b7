import { mkdir, writeFile } from 'node:fs/promises';
import { berth, importBusybox, runPod, service, sh, startJournal } from './machine.ts';

/**
 * The first boot of two: a service, pods, and then the machine is shut down while they run. What they and the daemon wrote
 * stays in /job, and the second boot looks at it (shutdown.test.ts).
 */
const evidence = '/job/shutdown';
await mkdir(`${evidence}/logs`, { recursive: true });
await startJournal();
await sh(`${berth} install --now --without kubelet`);

// The job's own end must not end the machine before it is shut down in order.
const dropIn = '/run/systemd/system/berth-job.service.d';
await mkdir(dropIn, { recursive: true });
await writeFile(`${dropIn}/end.conf`, '[Unit]\nSuccessAction=none\nFailureAction=none\n');
// The journal ends before the last units do: what those say is kept beside it.
await mkdir('/run/systemd/system/berth-pods.service.d', { recursive: true });
await writeFile(
  '/run/systemd/system/berth-pods.service.d/log.conf',
  `[Service]\nStandardOutput=append:${evidence}/stop.log\nStandardError=append:${evidence}/stop.log\n`,
);
await sh('systemctl daemon-reload');

const client = service();
await importBusybox(client);
const logs = `${evidence}/logs`;
const say = (text: string): string => `echo ${text} $(cut -d" " -f1 /proc/uptime)`;
const polite = `trap '${say('term')}; sleep 2; ${say('bye')}; exit 0' TERM; echo up; sleep 86400 & wait; wait`;
const twenty = { 'io.kubernetes.pod.terminationGracePeriod': '20' };
// One that needs a moment for its end, one that never ends by itself and may take three seconds, and one by the other driver.
await runPod(client, {
  parent: 'kubepods-poda.slice',
  logs,
  script: polite,
  annotations: twenty,
});
await runPod(client, {
  parent: 'kubepods-podb.slice',
  logs,
  script: `trap '${say('term')}' TERM; echo up; while :; do sleep 0.2; ${say('alive')}; done`,
  annotations: { 'io.kubernetes.pod.terminationGracePeriod': '3' },
});
await mkdir('/etc/berth', { recursive: true });
await writeFile('/etc/berth/config.toml', '[cgroup]\ndriver = "cgroupfs"\n');
await sh('systemctl restart berth');
await runPod(client, { parent: '/kubepods/podc', logs, script: polite, annotations: twenty });
client.close();
await writeFile(`${evidence}/begun`, await sh('date +%s'));
// By now the job has done its part; it is among the first that the shutdown ends.
await writeFile('/job/status', '0\n');
await sh('systemctl poweroff --no-block');
