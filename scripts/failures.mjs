// What failed in a part's output, so that npm test can repeat it at its end, where it is read.

const most = 60;

/** AVA's own summary: all behind its first rule. */
const avaDetails = (output) => {
  const rule = output.indexOf('\n  ─\n');
  return rule === -1 ? [] : output.slice(rule + 4).split('\n');
};

/** Of TAP: each `not ok` line with the YAML block under it. */
const tapDetails = (output) => output.match(/^not ok .*(?:\n {2}.*)*/gm)?.flatMap((block) => block.split('\n')) ?? [];

/** Lines (at most sixty, without empty ones) that say what failed: titles first, then the details. */
export const failuresOf = (output) => {
  const titles =
    output.match(/^\s*✘ .*$|^not ok .*$|^FAILED.*$|^.*Uncaught exception.*$|^critest\/vm\/run: .*$/gm) ?? [];
  const details = [...avaDetails(output), ...tapDetails(output)].filter((line) => line.trim() !== '');
  return [...titles, ...details].slice(0, most);
};
