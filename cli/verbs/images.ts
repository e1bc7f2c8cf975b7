import type { Image } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { plain, shortId, size, table } from '../format.ts';
import { toPlainJson } from '../json.ts';

interface Look {
  readonly digests: boolean;
}

const repositoryOf = (name: string): string => name.replace(/@.*|:[^/]*$/, '');

/** The digest that the name's repository has the image by; a tag that was given here has none. */
const digestOf = (image: Image, name: string): string => {
  const same = image.repo_digests.find((other) => repositoryOf(other) === repositoryOf(name));
  return same?.replace(/^.*@/, '') ?? '-';
};

const shown = (name: string): string => name.replace(/(@sha256:.{12}).*/, '$1');

const rows = (image: Image, { digests }: Look): string[][] => {
  const names = image.repo_tags.length > 0 ? image.repo_tags : image.repo_digests;
  return (names.length > 0 ? names : ['<none>']).map((name) => [
    plain(shown(name)),
    ...(digests ? [plain(digestOf(image, name))] : []),
    shortId(image.id),
    size(image.size),
  ]);
};

export const imagesTable = (images: readonly Image[], look: Look = { digests: false }): string =>
  table(
    ['IMAGE', ...(look.digests ? ['DIGEST'] : []), 'ID', 'SIZE'],
    images.flatMap((image) => rows(image, look)).toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1)),
  );

export const images: Verb = {
  name: 'images',
  usage: '[--digests] [--quiet] [--json] [IMAGE]',
  summary: 'list images',
  options: [
    ['--digests', 'also the digest that each name has in its registry'],
    ['-q, --quiet', 'whole ids alone'],
    ['--json', "as CRI's ListImages tells them"],
  ],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, {
      digests: { type: 'boolean', default: false },
      quiet: { type: 'boolean', short: 'q', default: false },
      json: { type: 'boolean', default: false },
    });
    const [image = '', more] = positionals;
    if (more !== undefined) throw new UsageError('wants one image at most');
    if (values.quiet && values.json) throw new UsageError('--quiet and --json exclude each other');
    const filter = image === '' ? {} : { filter: { image: { image } } };
    const { images: found } = await client.ListImages(filter);
    if (values.json) out.write(`${JSON.stringify(toPlainJson(found), undefined, 2)}\n`);
    else if (values.quiet) for (const { id } of found) out.write(`${id}\n`);
    else out.write(imagesTable(found, values));
    return 0;
  },
};
