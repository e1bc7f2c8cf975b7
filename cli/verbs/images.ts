import type { Image } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import type { Verb } from '../context.ts';
import { plain, shortId, size, table } from '../format.ts';

const rows = (image: Image): string[][] => {
  const names =
    image.repo_tags.length > 0
      ? image.repo_tags
      : image.repo_digests.map((name) => name.replace(/(@sha256:.{12}).*/, '$1'));
  return (names.length > 0 ? names : ['<none>']).map((name) => [plain(name), shortId(image.id), size(image.size)]);
};

export const imagesTable = (images: readonly Image[]): string =>
  table(
    ['IMAGE', 'ID', 'SIZE'],
    images.flatMap(rows).toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)),
  );

export const images: Verb = {
  name: 'images',
  usage: '',
  summary: 'list images',
  options: [],
  run: async (argv, { client, out }) => {
    parse(argv, {});
    out.write(imagesTable((await client.ListImages({})).images));
    return 0;
  },
};
