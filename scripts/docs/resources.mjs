// docs/resources.md: what becomes of LinuxContainerResources, from the rows that the tests of resources read back from the kernel.
import { rows } from '../../build/critest/harness/resource-rows.js';

const head = `# Limits in the kernel's files

Each field of LinuxContainerResources as it is written, and changed by UpdateContainerResources: \`set → updated\`. The table is made by
\`scripts/docs.mjs\` from the rows of \`critest/harness/resource-rows.ts\`; critest/resources.test.ts reads the column of cgroup v1 back
from the kernel, critest/vm/tests/resources.test.ts that of cgroup v2, and critest/vm/systemd.test.ts both that and the last one, from
\`systemctl show\`, also after \`systemctl daemon-reload\`. A row is read back where the machine has the controller: the second machine,
user-mode Linux with systemd 257, lacks cpuset and hugetlb; the emulated PC of \`npm run test:machine\`, with systemd 252, has all, and
reads both columns of cgroup v2 and that of systemd.

| request | update | cgroup v1 | cgroup v2, both drivers | systemd's properties |
|---|---|---|---|---|
`;

const tail = `
\`oom_score_adj\` is in no cgroup: it is written to \`/proc/PID/oom_score_adj\` of the main process at the start, and at an update of every
process that has the container's. systemd has no word for it, nor for \`hugepage_limits\`, whose column of v1 no machine of the tests has. Other
keys of \`unified\` are files of v2 by their names; on v1 they are refused.
systemd keeps a quota in hundredths of a processor, and writes all its files of a unit whenever it writes one, with values of its own for
\`memory.oom.group\` and \`memory.zswap.max\`: Berth writes the exact ones again, in the same call after an update, and a moment after a
\`daemon-reload\` (critest/vm/tests/systemd.test.ts).
`;

const text = (resources) =>
  Object.entries(resources)
    .map(([name, value]) => {
      if (name === 'unified') return text(value);
      if (name === 'hugepage_limits') return value.map((page) => `${name}=${page.page_size}:${page.limit}`).join(' ');
      return `${name}=${value}`;
    })
    .join(' ');

const cell = (files, none) =>
  Object.entries(files)
    .map(
      ([file, [set, updated]]) => `\`${file.replace(/^.*\//, '')}\` ${set === updated ? set : `${set} → ${updated}`}`,
    )
    .join('<br>') || none;

export const resourcesPage = () =>
  head +
  Object.values(rows)
    .map(
      (row) =>
        `| ${text(row.set)} | ${text(row.update)} | ${cell(row.v1, 'refused')} | ${cell(row.v2, '')} | ${cell(row.systemd, '–')} |\n`,
    )
    .join('') +
  tail;
