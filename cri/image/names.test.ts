import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { imageNames } from './names.ts';

const id = sha256('configuration');
const digest = `sha256:${'a'.repeat(64)}`;
const image = {
  id,
  repoTags: ['a.example/app:1', 'b.example/app:1', 'b.example/app:2'],
  repoDigests: [`a.example/app@${digest}`, `b.example/app@${digest}`],
};
const namesFor = (user_specified_image: string, from = image) => imageNames(from, { image: id, user_specified_image });

test('of several names a container has the one that its user gave, with a digest of the same repository', (t) => {
  t.deepEqual(namesFor('b.example/app:2'), { imageName: 'b.example/app:2', imageRef: `b.example/app@${digest}` });
  t.deepEqual(imageNames(image, { image: 'b.example/app:1', user_specified_image: '' }), {
    imageName: 'b.example/app:1',
    imageRef: `b.example/app@${digest}`,
  });
});

test('the name is the normalised one', (t) => {
  const library = { ...image, repoTags: ['docker.io/library/app:latest'], repoDigests: [] };
  t.deepEqual(namesFor('app', library), { imageName: 'docker.io/library/app:latest', imageRef: id });
});

test('who asked by digest is told the digest', (t) => {
  t.is(namesFor(`b.example/app:7@${digest}`).imageName, `b.example/app@${digest}`);
});

test('a name that the image does not have gives one of the same repository, or else any', (t) => {
  t.is(namesFor('b.example/app:gone').imageName, 'b.example/app:1');
  t.is(namesFor('c.example/app:1').imageName, 'a.example/app:1');
  t.is(namesFor('').imageName, 'a.example/app:1');
});

test('an image without tags is told by digest, one without any name by its id', (t) => {
  const ref = `a.example/app@${digest}`;
  t.deepEqual(namesFor('', { ...image, repoTags: [] }), { imageName: ref, imageRef: ref });
  t.deepEqual(namesFor('x', { id, repoTags: [], repoDigests: [] }), { imageName: id, imageRef: id });
});
