import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { parseConflist } from './conflist.ts';
import { renderTemplate } from './template.ts';

const data = {
  PodCIDR: '10.1.0.0/24',
  PodCIDRRanges: ['10.1.0.0/24', 'fd00:1::/64'],
  Routes: ['0.0.0.0/0', '::/0'],
};
const render = (text: string, given = data): string => renderTemplate(text, 'net.template', given);

test('a template as containerd’s users have it becomes a configuration with every range and route', (t) => {
  const text = `{
  "ranges": [
    {{- range $i, $range := .PodCIDRRanges}}
      {{- if $i}}, {{end}}
      [{"subnet": "{{$range}}"}]
    {{- end}}
  ],
  "routes": [{{range $i, $route := .Routes}}{{if $i}}, {{end}}{"dst": "{{$route}}"}{{end}}], {{/* a word */}}
  "first": "{{ .PodCIDR }}"
}`;
  t.deepEqual(JSON.parse(render(text)), {
    ranges: [[{ subnet: '10.1.0.0/24' }], [{ subnet: 'fd00:1::/64' }]],
    routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
    first: '10.1.0.0/24',
  });
});

test('the example of docs/network.md is a configuration, of one range and of two', async (t) => {
  const page = await readFile(join(import.meta.dirname, '../../../docs/network.md'), 'utf8');
  const example = page.slice(page.indexOf('\n    {\n')).replaceAll(/^ {4}/gm, '');
  for (const PodCIDRRanges of [data.PodCIDRRanges, data.PodCIDRRanges.slice(1)]) {
    const { plugins } = parseConflist(render(example, { ...data, PodCIDRRanges }), 'docs/network.md');
    t.deepEqual(
      plugins.map(({ type, ipamType }) => ipamType ?? type),
      ['host-local', 'portmap'],
    );
    t.like(plugins[0]?.raw.ipam, { ranges: PodCIDRRanges.map((subnet) => [{ subnet }]) });
  }
});

test('dot is the item of the range, $ the whole, and else stands for nothing', (t) => {
  t.is(render('{{range .Routes}}<{{.}} {{$.PodCIDR}}>{{end}}'), '<0.0.0.0/0 10.1.0.0/24><::/0 10.1.0.0/24>');
  t.is(render('{{range .Routes}}x{{else}}none{{end}}', { ...data, Routes: [] }), 'none');
  t.is(render('{{if .Routes}}some{{else}}none{{end}}', { ...data, Routes: [] }), 'none');
  t.is(
    render('{{range $x := .Routes}}{{range $x := $.PodCIDRRanges}}{{$x}};{{end}}{{$x}}|{{end}}').split('|').length,
    3,
  );
});

test('white space goes only on the side that has the mark', (t) => {
  t.is(render('a \n {{- .PodCIDR}} b'), 'a10.1.0.0/24 b');
  t.is(render('a {{.PodCIDR -}} \n b'), 'a 10.1.0.0/24b');
  t.is(render('a {{/* word */ -}} b'), 'a b');
  t.is(render('no braces } { at all'), 'no braces } { at all');
});

const wrong: readonly [string, RegExp][] = [
  ['{\n{{.PodCidr}}', /^net\.template:2: \{\{\.PodCidr\}\} is not known here/],
  ['{{printf "%s" .PodCIDR}}', /not known here/],
  ['{{.PodCIDR | js}}', /not known here/],
  ['{{$x}}', /not known here/],
  ['{{range .Routes}}{{.PodCIDR}}{{end}}', /not known here/],
  ['{{.Routes}}', /is a list/],
  ['{{range .PodCIDR}}{{end}}', /is no list/],
  ['{{if .PodCIDR}}x', /has no end/],
  ['{{end}}', /ends nothing/],
  ['{{if .PodCIDR}}{{else}}{{else}}{{end}}', /has no end/],
  ['{{}}', /not known here/],
  ['{{if .PodCIDR}}'.repeat(5000), /is nested more than 32 deep/],
];
for (const [text, pattern] of wrong)
  test(`a template is refused, with its line: ${text.slice(0, 50).replaceAll('\n', ' ')}`, (t) => {
    t.throws(() => render(text), { code: 'failed-precondition', message: pattern });
  });
