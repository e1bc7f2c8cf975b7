// The Stream* calls of lists: what the lists say, in pages. docs/cri.tsv names these tests.
import test from 'ava';
import { names } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();

/** Every item of every page, and how many pages there were. */
const all = async <Page, Item>(pages: AsyncIterable<Page>, items: (page: Page) => readonly Item[]) => {
  const found: Item[] = [];
  let count = 0;
  for await (const page of pages) {
    found.push(...items(page));
    count += 1;
  }
  return { items: found, pages: count };
};

test('StreamPodSandboxes and StreamContainers give each item once, in as many pages as it takes', async (t) => {
  const { client } = daemon();
  const annotations = { long: 'x'.repeat(100_000) };
  const pods = await Promise.all(
    Array.from({ length: 5 }, (_, i) => runPod(daemon(), { annotations, labels: { n: `${i}` } })),
  );
  await Promise.all(pods.map((pod, i) => pod.create(idle, { annotations, labels: { n: `${i}` } })));
  const streamed = await all(client.StreamPodSandboxes({}), ({ pod_sandboxes }) => pod_sandboxes);
  t.deepEqual(streamed, { items: [...(await client.ListPodSandbox({})).items], pages: 3 });
  const containers = await all(client.StreamContainers({}), (page) => page.containers);
  t.deepEqual(containers, { items: [...(await client.ListContainers({})).containers], pages: 3 });
});

test('the filters of streamed lists are those of the lists, and what nothing fits has no page', async (t) => {
  const { client } = daemon();
  const [one, two] = [await runPod(daemon(), { labels: { n: '1' } }), await runPod(daemon(), { labels: { n: '2' } })];
  const container = await one.create(idle, { labels: { n: '3' } });
  await two.create(idle);
  const filter = { label_selector: { n: '1' } };
  const pods = await all(client.StreamPodSandboxes({ filter }), ({ pod_sandboxes }) => pod_sandboxes);
  t.deepEqual(
    pods.items.map(({ id }) => id),
    [one.id],
  );
  const containers = await all(
    client.StreamContainers({ filter: { pod_sandbox_id: one.id } }),
    (page) => page.containers,
  );
  t.deepEqual(
    containers.items.map(({ id }) => id),
    [container.id],
  );
  const none = { filter: { label_selector: { n: 'none' } } };
  t.is((await all(client.StreamPodSandboxes(none), ({ pod_sandboxes }) => pod_sandboxes)).pages, 0);
  t.is((await all(client.StreamContainers(none), (page) => page.containers)).pages, 0);
});

test('StreamContainerStats and StreamPodSandboxStats give what the lists of stats give', async (t) => {
  const { client } = daemon();
  const [one, two] = [await runPod(daemon()), await runPod(daemon())];
  const container = await one.run(idle);
  await two.create(idle);
  const filter = { pod_sandbox_id: one.id };
  const stats = await all(client.StreamContainerStats({ filter }), (page) => page.container_stats);
  t.deepEqual(
    stats.items.map(({ attributes }) => attributes?.id),
    [container.id],
  );
  t.true((stats.items[0]?.cpu?.usage_core_nano_seconds?.value ?? 0n) > 0n);
  t.is((await all(client.StreamContainerStats({}), (page) => page.container_stats)).items.length, 2);
  const pods = await all(client.StreamPodSandboxStats({ filter: { id: two.id } }), (page) => page.pod_sandbox_stats);
  t.deepEqual(
    pods.items.map(({ attributes }) => attributes?.id),
    [two.id],
  );
  t.is((await all(client.StreamPodSandboxStats({}), (page) => page.pod_sandbox_stats)).items.length, 2);
});

test('StreamImages gives what ListImages gives, and its filter one image', async (t) => {
  const { client } = daemon();
  const images = await all(client.StreamImages({}), (page) => page.images);
  t.deepEqual(images.items, [...(await client.ListImages({})).images]);
  const filter = { image: { image: names.busybox } };
  const one = await all(client.StreamImages({ filter }), (page) => page.images);
  t.deepEqual(one.items, [...(await client.ListImages({ filter })).images]);
  t.is(one.items.length, 1);
  const wrong = { filter: { image: { image: names.busybox, runtime_handler: 'none' } } };
  await fails(
    t,
    all(client.StreamImages(wrong), (page) => page.images),
    'invalid-argument',
    /StreamImages/,
  );
});
