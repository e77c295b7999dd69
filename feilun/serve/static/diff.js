// What changed between two texts, by words and, in Chinese, by characters.

const PARTS = /\p{Script=Han}|(?:(?!\p{Script=Han})[\p{L}\p{N}\p{M}_'’])+|\s+|[^]/gu;
const MAX_CELLS = 4_000_000;

/** [{kind: "same" | "out" | "in", text}], in reading order; joined without "in" it is `before`, without "out" `after`. */
export function diff(before, after) {
  const a = before.match(PARTS) ?? [], b = after.match(PARTS) ?? [];
  let head = 0, tail = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  const runs = new Runs();
  a.slice(0, head).forEach((part) => runs.add("same", part));
  middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail), runs);
  a.slice(a.length - tail).forEach((part) => runs.add("same", part));
  return readable(runs.list);
}

/** Scraps that happen to be equal between larger changes are changes too: nobody reads a sentence by its commas. */
function readable(list) {
  const runs = new Runs();
  for (let at = 0; at < list.length; ) {
    let end = at, out = "", into = "";
    for (; end < list.length && (list[end].kind !== "same" || isScrap(list, end)); end++) {
      if (list[end].kind !== "in") out += list[end].text;
      if (list[end].kind !== "out") into += list[end].text;
    }
    if (out) runs.add("out", out);
    if (into) runs.add("in", into);
    if (end < list.length) runs.add("same", list[end].text);
    at = end + 1;
  }
  return runs.list;
}

function isScrap(list, at) {
  const size = (from, step) => {
    let out = 0, into = 0;
    for (let i = from; list[i] && list[i].kind !== "same"; i += step) list[i].kind === "out" ? (out += list[i].text.length) : (into += list[i].text.length);
    return Math.max(out, into);
  };
  const { length } = list[at].text;
  return length <= size(at - 1, -1) && length <= size(at + 1, 1);
}

class Runs {
  list = [];

  add(kind, text) {
    if (this.list.at(-1)?.kind === kind) this.list.at(-1).text += text;
    else this.list.push({ kind, text });
  }
}

/** The longest common subsequence; two texts too long for its table count as wholly different. */
function middle(a, b, runs) {
  const wide = b.length + 1;
  const exact = a.length * b.length <= MAX_CELLS;
  const common = exact ? new Uint32Array((a.length + 1) * wide) : null;
  for (let i = exact ? a.length - 1 : -1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * wide + j] = a[i] === b[j] ? common[(i + 1) * wide + j + 1] + 1 : Math.max(common[(i + 1) * wide + j], common[i * wide + j + 1]);
    }
  }
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (exact && i < a.length && j < b.length && a[i] === b[j]) runs.add("same", a[i++], j++);
    else if (i < a.length && (!exact || j === b.length || common[(i + 1) * wide + j] >= common[i * wide + j + 1])) runs.add("out", a[i++]);
    else runs.add("in", b[j++]);
  }
}
