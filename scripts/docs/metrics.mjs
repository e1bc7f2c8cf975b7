// docs/metrics.md from the metrics that the daemon registers.
import { metricsOfDaemon } from '../../build/cri/observe/all.js';
import { Metrics } from '../../build/cri/observe/metrics.js';

const row = ({ name, help, type, labelNames }) =>
  `| \`${name}\` | ${type} | ${labelNames.map((label) => `\`${label}\``).join(', ')} | ${help.replaceAll('|', '\\|')} |`;

// Nothing is read: only what is registered is asked for.
const metrics = metricsOfDaemon(new Metrics(), {});

const table = () =>
  ['| name | type | labels | meaning |', '|---|---|---|---|', ...metrics.getMetricsAsArray().map(row)].join('\n');

export const metricsPage = () => `# Metrics, health and readiness

This page is made by \`bin/node scripts/docs.mjs\`; its table is what berthd registers.

berthd tells of itself by HTTP at \`metrics.address\` (docs/configuration.md). By default that is the socket \`/run/berth/http.sock\`,
which root alone can open:

    curl --unix-socket /run/berth/http.sock http://berth/metrics

Prometheus scrapes addresses, not sockets. For that give it one of the loopback, and let an agent on the node collect it:

    [metrics]
    address = "127.0.0.1:9464"

Every user of the node, and every pod in the host's network, can read it there: no name of a pod, a container or an image stands in
it, but how many there are, the versions and the plugins' names do. Another address than the loopback's is refused unless
\`metrics.allow_remote\` is set, since there is neither TLS nor a login; the log warns of it at each start. An address that another
program has does not keep berthd from starting: the log has the error, and it is tried again every ten seconds.

A page costs the daemon a few milliseconds, and nothing is collected while nobody asks but the durations and counts themselves. Who asks
more than 50 times in a second is refused (429), and what is slow is. Of more than 32 connections the one that asked longest ago is closed, so
that none keeps a probe out.

## Health and readiness

| page | 200 | else 503 |
|---|---|---|
| \`/healthz\` | berthd has answered a call over its own CRI socket, by a new connection. Also while it is starting | \`self\` |
| \`/readyz\` | pods can be run now | a line for each check |

\`?verbose\` has all checks told, as Kubernetes' components do; without it the answer is \`ok\`, or the checks when one fails. The checks of
\`/readyz\`:

| check | fails |
|---|---|
| \`daemon\` | while what there was before the start is being looked at, and when the daemon is stopping |
| \`agent\` | when the process that starts all others does not answer within a second, or dies again and again |
| \`network\` | while Status says NetworkReady false, with its words |
| \`state\`, \`root\` | when that directory's file system is read-only, or has no space or no inode left; nothing is written for it |

A node without a network configuration is not ready and yet healthy: what restarts berthd should ask \`/healthz\`. systemd's watchdog
asks the same.

## Stuck work

Each step that changes something outside of berthd (a file written, a plugin or helper run, a supervisor asked) has a name, its stage. One
that takes longer than \`metrics.stuck_seconds\` (60) is counted in \`berth_stuck_work\` and told in the log, once with the stage, the object
and how long it has taken, and once more when it has ended. \`berth info\` has what is stuck at this moment.

    {"level":40,"stage":"cni bridge ADD","object":"/run/berth/sandboxes/4f…/cni.lock","seconds":61,"msg":"work is stuck: cni bridge ADD"}

Steps with a size may take longer: removals, relabelling and fix-ups of layers ten times, unpacking a layer sixty times. What ends when
its user wants (exec, forwarded ports) and what is done at leisure (deletion, measuring of disks) is never called stuck.

## The metrics

${table()}

\`code\` is \`ok\` or the kind of error, in the words of the log: \`invalid-argument\`, \`deadline-exceeded\`, \`not-found\`, \`already-exists\`,
\`permission-denied\`, \`resource-exhausted\`, \`failed-precondition\`, \`unimplemented\`, \`internal\`, \`unavailable\`, \`data-loss\`,
\`unauthenticated\`, \`cancelled\`, \`aborted\`, \`out-of-range\`, \`unknown\`. The stages of a pull are \`queue\` (waiting for its turn), \`resolve\` (the
tag's manifest), \`manifest\` (that of the platform), \`verify\` (signatures), \`config\`, \`layers\` (all of them) and within it \`layer\` (each, fetched
and unpacked in one pass), \`fixups\` and \`commit\`. The calls of
\`Version\` include those by which berthd asks itself. Counters begin at 0 with each start of the daemon; an OOM kill that happened while
no daemon was there is counted when the next one finds it.

## Alerts

    groups:
      - name: berth
        rules:
          - alert: BerthWorkIsStuck
            expr: sum by (instance, stage) (berth_stuck_work) > 0
            for: 5m
          - alert: BerthIsNotReady
            expr: min by (instance, check) (berth_ready) == 0
            for: 10m
          - alert: BerthCallsFail
            expr: >
              sum by (instance, method) (rate(berth_rpc_duration_seconds_count{code=~"internal|data-loss|unavailable"}[10m]))
              / sum by (instance, method) (rate(berth_rpc_duration_seconds_count[10m])) > 0.05
            for: 10m
          - alert: BerthPluginsFail
            expr: sum by (instance, plugin, command) (rate(berth_cni_duration_seconds_count{code!="ok"}[10m])) > 0.05
            for: 10m
          - alert: BerthPodsStartSlowly
            expr: >
              histogram_quantile(0.9, sum by (instance, le) (rate(berth_rpc_duration_seconds_bucket{method="RunPodSandbox"}[10m]))) > 10
            for: 10m
          - alert: BerthEventLoopIsLate
            expr: berth_event_loop_delay_seconds{percentile="99"} > 0.5
            for: 10m
          - alert: BerthAgentDies
            expr: increase(berth_agent_restarts_total[1h]) > 3
          - alert: BerthSupervisorDied
            expr: increase(berth_supervisor_deaths_total[1h]) > 0
          - alert: BerthConfigurationIsWrong
            expr: increase(berth_config_reloads_total{result="error"}[1h]) > 0
          - alert: BerthIsGone
            expr: up{job="berth"} == 0
            for: 5m
`;
