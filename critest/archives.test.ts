import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import {
  at,
  berth,
  buildah,
  bytesAt,
  daemon,
  digestsIn,
  known,
  lockedHost,
  pick,
  pushHost,
  sh,
  skopeoCopy,
  untag,
  work,
} from './harness/archives.ts';
import { names, registryHost } from './harness/images.ts';
import { sourceTree } from './harness/tree.ts';

// What other tools make of our archives and pushes, and we of theirs: skopeo, umoci, buildah, all from Debian.

test('skopeo reads what berth save writes: manifest, configuration and layers have the digests of the registry', async (t) => {
  const image = await known(daemon(), names.layered);
  t.is((await berth('save', '-o', at('a.tar'), names.layered)).stderr, '');
  await skopeoCopy(`oci-archive:${at('a.tar')}:1`, `dir:${at('out')}`, '--preserve-digests');
  t.deepEqual(await digestsIn(at('out')), pick(image));
  await skopeoCopy(`docker-archive:${at('a.tar')}:${names.layered}`, `dir:${at('docker')}`);
  t.true((await digestsIn(at('docker'))).blobs.includes(image.id), 'as a docker archive it has the same configuration');
  t.is((await berth('save', '--format', 'docker', '-o', at('d.tar'), names.layered, names.busybox)).stderr, '');
  await skopeoCopy(`docker-archive:${at('d.tar')}:${names.busybox}`, `dir:${at('legacy')}`);
  t.true((await digestsIn(at('legacy'))).blobs.includes((await known(daemon(), names.busybox)).id));
});

test('umoci and buildah read what berth save writes', async (t) => {
  const image = await known(daemon(), names.layered);
  await berth('save', '-o', at('a.tar'), names.layered);
  await sh(
    `mkdir layout; tar -C layout -xf a.tar; umoci ls --layout layout >tags; umoci unpack --image layout:1 bundle`,
  );
  t.is(String(await bytesAt('tags')), '1\n');
  t.is(await sh('test -e bundle/rootfs/added && test ! -e bundle/rootfs/removed && echo merged'), 'merged\n');
  await buildah(`pull -q --signature-policy ${work('policy.json')} oci-archive:${at('a.tar')}`);
  const format = "--format '{{.FromImageDigest}} {{.FromImageID}}'";
  t.is(await buildah(`inspect --type image ${format} ${image.id.slice(7)}`), `${image.digest} ${image.id.slice(7)}`);
});

test('skopeo and buildah read what berth push has sent to docker-registry, digest for digest', async (t) => {
  const image = await known(daemon(), names.layered);
  const pushed = await berth('push', names.layered, `${pushHost}/pushed/layered:2`);
  t.is(pushed.stderr, '');
  t.is(pushed.stdout.trim().split('\n').at(-1), image.digest);
  const place = `docker://${pushHost}/pushed/layered:2`;
  await skopeoCopy(place, `dir:${at('out')}`, '--src-tls-verify=false --preserve-digests');
  t.deepEqual(await digestsIn(at('out')), pick(image));
  await buildah(`pull -q --tls-verify=false --signature-policy ${work('policy.json')} ${place}`);
  t.is((await berth('push', names.layered, `${pushHost}/pushed/again:1`)).status, 0);
  const again = (await berth('push', names.layered, `${pushHost}/pushed/again:1`)).stdout;
  t.is(again.match(/sent/g)?.length, 1, 'what is there is not sent again, but the name is given');
  t.is((await daemon().client.PullImage({ image: { image: `${pushHost}/pushed/layered:2` } })).image_ref, image.id);
  await untag(`${pushHost}/pushed/layered:2`);
});

test('berth push logs in to a registry with a password, and says when it is refused', async (t) => {
  const image = await known(daemon(), names.layered);
  const place = `${lockedHost}/pushed/layered:1`;
  const command = `${join(sourceTree, 'bin/berth')} --address ${daemon().address} push --user berth --password-stdin`;
  t.is((await sh(`echo secret | ${command} ${names.layered} ${place}`)).trim().split('\n').at(-1), image.digest);
  await skopeoCopy(`docker://${place}`, `dir:${at('out')}`, '--src-tls-verify=false --src-creds berth:secret');
  t.deepEqual(await digestsIn(at('out')), pick(image));
  const refused = await berth('push', names.layered, place);
  t.is(refused.status, 1);
  t.regex(refused.stderr, /push image to 127\.0\.0\.1:5002\/pushed\/layered:1: .*401/);
  t.regex(await sh(`echo wrong | ${command} ${names.layered} ${place} 2>&1 || true`), /401/);
});

test('berth load reads what skopeo writes: layouts, OCI archives, docker archives', async (t) => {
  const image = await known(daemon(), names.layered);
  const from = `docker://${names.layered}`;
  const insecure = '--src-tls-verify=false';
  await skopeoCopy(from, `oci:${at('layout')}:example.org/by-skopeo:oci`, insecure);
  await skopeoCopy(from, `oci-archive:${at('o.tar')}:3`, insecure);
  await skopeoCopy(from, `docker-archive:${at('d.tar')}:example.org/by-skopeo:docker`, insecure);
  await sh('gzip -k o.tar; zstd -q d.tar');
  const loads = [
    [['-i', at('layout')], 'example.org/by-skopeo:oci'],
    [['-i', at('o.tar'), '--name', 'example.org/by-skopeo:3'], 'example.org/by-skopeo:3'],
    [['-i', at('o.tar.gz'), '--name', 'example.org/by-skopeo:4'], 'example.org/by-skopeo:4'],
    [['-i', at('d.tar')], 'example.org/by-skopeo:docker'],
    [['-i', at('d.tar.zst'), '--name', 'example.org/by-skopeo:5'], 'example.org/by-skopeo:5'],
  ] as const;
  for (const [words, name] of loads) {
    const { stdout, stderr } = await berth('load', ...words);
    t.is(stderr, '', name);
    t.is(stdout.trim().split('\n').at(-1), `${name}  ${image.id}`);
    const loaded = await known(daemon(), name);
    if (!words[1].includes('d.tar')) t.deepEqual(loaded, image);
  }
  for (const [, name] of loads) await untag(name);
});

test('berth load reads what umoci makes, and what buildah pushes to archives and to docker-registry', async (t) => {
  await skopeoCopy(`docker://${names.busybox}`, `oci:${at('layout')}:base`, '--src-tls-verify=false');
  await sh('umoci config --image layout:base --tag made --config.cmd by-umoci');
  await sh('echo inserted >file && umoci insert --image layout:made file /inserted');
  const digest = (await sh(`skopeo --insecure-policy inspect --raw oci:${at('layout')}:made | sha256sum`)).slice(0, 64);
  await sh(`skopeo --insecure-policy copy -q oci:${at('layout')}:made oci:${at('umoci')}:example.org/umoci:1`);
  await berth('load', '-i', at('umoci'));
  t.is((await known(daemon(), 'example.org/umoci:1')).digest, `sha256:${digest}`);
  await untag('example.org/umoci:1');

  await writeFile(at('file'), 'by buildah');
  await buildah('from --name made scratch');
  await buildah(`copy made ${at('file')} /file`);
  await buildah('config --cmd by-buildah made');
  await buildah(`commit -q --signature-policy ${work('policy.json')} made example.org/buildah:1`);
  const id = (await buildah("images --format '{{.ID}}' --no-trunc example.org/buildah:1")).trim();
  const push = (to: string): Promise<string> =>
    buildah(`push -q --tls-verify=false --signature-policy ${work('policy.json')} example.org/buildah:1 ${to}`);
  await push(`oci-archive:${at('b.tar')}`);
  await push(`docker-archive:${at('bd.tar')}:example.org/buildah:docker`);
  await push(`docker://${pushHost}/by/buildah:1`);
  t.is((await berth('load', '-i', at('b.tar'), '--name', 'example.org/buildah:1')).stderr, '');
  t.is((await known(daemon(), 'example.org/buildah:1')).id, id);
  t.is((await berth('load', '-i', at('bd.tar'))).stderr, '');
  const { image_ref } = await daemon().client.PullImage({ image: { image: `${pushHost}/by/buildah:1` } });
  t.is(image_ref, id);
  for (const name of ['example.org/buildah:1', 'example.org/buildah:docker', `${pushHost}/by/buildah:1`])
    await untag(name);
});

test('an archive goes through pipes from one command to the other, and a terminal is refused', async (t) => {
  const image = await known(daemon(), names.busybox);
  const command = `${join(sourceTree, 'bin/berth')} --address ${daemon().address}`;
  const said = await sh(
    `${command} save ${names.busybox} | gzip -1 | ${command} load --name ${registryHost}/other/name:1`,
  );
  t.is(said.trim().split('\n').at(-1), `${registryHost}/other/name:1  ${image.id}`);
  t.deepEqual(await known(daemon(), `${registryHost}/other/name:1`), image);
  await untag(`${registryHost}/other/name:1`);
  const onTerminal = await sh(
    `script -qec '${command} save ${names.busybox}; echo $?; ${command} load; echo $?' /dev/null`,
  );
  t.regex(onTerminal, /nothing for a terminal.*\s2\s.*wants an archive.*\s2\s/s);
});

test('berth load fails at once when it is no archive, also while its writer goes on', async (t) => {
  const command = `${join(sourceTree, 'bin/berth')} --address ${daemon().address} load`;
  const writer = '{ yes | head -c 4000; exec sleep 30; } >fifo';
  const said = await sh(`mkfifo fifo; ${writer} & timeout 20 ${command} <fifo 2>&1 || echo $?; kill $!`);
  t.regex(said, /not a tar archive.*\n1\n$/);
});

test('berth save leaves nothing of a file that it could not write whole, and what was there before', async (t) => {
  await sh('echo before >there.tar');
  const failed = await berth('save', '-o', at('there.tar'), names.busybox, 'not-here:1');
  t.is(failed.status, 1);
  t.regex(failed.stderr, /not-here:1.*there is no such image/);
  t.is(await sh('ls; cat there.tar'), 'there.tar\nbefore\n');
  await sh('mkdir full; mount -t tmpfs -o size=32k tmpfs full; echo before >full/there.tar');
  const full = await berth('save', '-o', at('full/there.tar'), names.busybox);
  t.is(full.status, 1);
  t.regex(full.stderr, /write .*full\/there\.tar: ENOSPC: no space left on device\n$/);
  const nowhere = await berth('save', '-o', at('none/there.tar'), names.busybox);
  t.regex(nowhere.stderr, /write .*none\/there\.tar: ENOENT: no such file or directory\n$/);
  t.is(await sh('ls full; cat full/there.tar; umount full'), 'there.tar\nbefore\n');
  const command = `${join(sourceTree, 'bin/berth')} --address ${daemon().address}`;
  t.regex(await sh(`${command} save ${names.busybox} 2>&1 >/dev/full || echo $?`), /no space left on device.*\n1\n$/);
  t.regex((await berth('load', '-i', at('no.tar'))).stderr, /no\.tar: there is no such file/);
});
