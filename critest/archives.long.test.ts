import test from 'ava';
import { at, berth, daemon, known, pushHost, sh, storage, work } from './harness/archives.ts';
import { names } from './harness/images.ts';

// The same with podman, which nothing else needs.
test('podman loads and pulls what berth save and push write, and berth load reads what podman saves', async (t) => {
  const image = await known(daemon(), names.layered);
  const podman = (words: string): Promise<string> =>
    sh(`podman ${storage()} --events-backend none --runtime /bin/true --cgroup-manager cgroupfs ${words}`);
  const policy = `--signature-policy ${work('policy.json')}`;
  await berth('save', '-o', at('a.tar'), names.layered);
  await podman(`load -q ${policy} -i ${at('a.tar')}`);
  t.is((await podman(`images --no-trunc --format '{{.ID}}' ${names.layered}`)).trim(), image.id);
  await podman(`rmi ${names.layered}`);
  await berth('push', names.layered, `${pushHost}/by/berth:1`);
  await podman(`pull -q --tls-verify=false ${policy} ${pushHost}/by/berth:1`);
  const told = await podman(`image inspect --format '{{.Id}} {{.Digest}}' ${pushHost}/by/berth:1`);
  t.is(told.trim(), `${image.id.slice(7)} ${image.digest}`);
  for (const format of ['oci-archive', 'docker-archive']) {
    await podman(`tag ${pushHost}/by/berth:1 example.org/podman:${format}`);
    await podman(`save -q --format ${format} -o ${at(`${format}.tar`)} example.org/podman:${format}`);
    const name = `example.org/podman:${format}`;
    t.is((await berth('load', '-i', at(`${format}.tar`), '--name', name)).stderr, '');
    t.is((await known(daemon(), name)).id, image.id);
    await berth('rmi', name);
  }
});
