// How a turn ended: the verdict in plain words, every correction before and after, and the exams.

import { element, fill, word } from "./dom.js";

const SHARES = ["before", "after", "low", "high", "max_fall", "max_fall_bound"];

/** The nodes that tell of `last`, the ended turn of /api/turn. */
export function outcome(last) {
  const promoted = last.verdict === "promoted";
  const told = last.reasons.filter((reason) => !promoted || !["held", "kept"].includes(reason.code));
  return [
    element("h3", { class: last.verdict, t: `turn_${last.verdict}` }),
    promoted ? null : element("p", { t: "turn_stays" }),
    element("ul", { class: "reasons" }, told.map((reason) => element("li", {}, sentence(reason)))),
    last.taught.length ? element("h4", { t: "taught_title" }) : null,
    last.taught.length ? element("ul", { class: "taught" }, last.taught.toSorted((a, b) => rank(a) - rank(b)).map(lesson)) : null,
    last.exams.length ? exams(last.exams) : null,
  ].filter(Boolean);
}

/** What is new comes first: learnt now, not learnt, known before. */
const rank = (row) => (!row.kept ? 1 : row.before === row.after ? 2 : 0);

/** A reason of the gate in the reader's language; one that the page does not know is said as the server said it. */
export function sentence(reason) {
  const key = `turn_why_${reason.code}`, found = word(key);
  if (reason.code === "said" || found === key) return reason.text ?? reason.code;
  const shares = Object.fromEntries(SHARES.filter((name) => typeof reason[name] === "number").map((name) => [name, percent(reason[name])]));
  return fill(key, { ...reason, ...shares, task: taskName(reason.task) });
}

function lesson(row) {
  return element("li", { class: row.kept ? "kept" : "" },
    element("p", { class: "question" }, row.question),
    element("p", {}, row.before === row.after ? null : [element("del", {}, row.before || "…"), " → "], element("ins", {}, row.after || "…")),
    row.kept ? null : element("p", { class: "fine" }, fill("turn_wanted", { text: row.wanted })),
    element("span", { class: "mark", t: row.kept ? "taught_kept" : "taught_not_kept" }));
}

function exams(rows) {
  const head = element("tr", {}, ["turn_exam", "turn_before", "turn_after", "turn_change"].map((key) => element("th", { t: key, scope: "col" })));
  const body = rows.map((row) => element("tr", { class: row.passed ? "" : "fallen" },
    element("th", { scope: "row" }, taskName(row.task), row.passed ? null : element("span", { class: "mark", t: "turn_fell" })),
    element("td", {}, percent(row.champion)), element("td", {}, percent(row.candidate)), element("td", {}, change(row))));
  return element("div", { class: "wide" }, element("table", {}, element("caption", { t: "turn_exams" }), element("thead", {}, head), element("tbody", {}, body)));
}

const percent = (share) => (typeof share === "number" ? `${Math.round(1000 * share) / 10} %` : "");
const signed = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;
const change = ({ low, high }) => (typeof low === "number" ? fill("turn_interval", { low: signed(low), high: signed(high) }) : "");

function taskName(task) {
  const key = `task_${task}`, found = word(key);
  return found === key ? task ?? "" : found;
}
