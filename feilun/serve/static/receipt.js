// A gate's receipt in plain words: the rule, each exam before and after, and why it passed or did not.

import { percent } from "./timeline.js";

export function receiptOf(app, ref) {
  const make = app.element;
  const body = make("div", { class: "receipt" });
  const details = make("details", { class: "gate" }, make("summary", { t: "receipt" }), body);
  details.ontoggle = () => details.open && !body.hasChildNodes() && fillIn(app, body, ref);
  return details;
}

async function fillIn(app, body, ref) {
  const make = app.element, name = ref.split("/").pop(), address = `/api/receipts/${encodeURIComponent(name)}`;
  try {
    const { receipt } = await app.api("GET", address);
    body.replaceChildren(
      make("p", { t: `receipt_${receipt.verdict === "promoted" ? "promoted" : "refused"}` }),
      shortfalls(app, receipt), receipt.taught?.length ? taught(app, receipt.taught) : "",
      exams(app, receipt), rule(app, receipt.rule ?? {}),
      make("p", { class: "fine" }, make("a", { href: address, target: "_blank", t: "receipt_file" }), " ", make("code", {}, name)));
  } catch (error) {
    body.replaceChildren();
    app.report(error);
  }
}

const task = (app, name) => (app.word(`task_${name}`) === `task_${name}` ? name : app.word(`task_${name}`));

function rule(app, found) {
  if (!found.must_rise) return "";
  const values = {
    rise: task(app, found.must_rise), fall: percent(found.max_fall), bound: percent(found.max_fall_bound), n: found.min_answers,
    confidence: percent(found.confidence), alpha: found.alpha ?? +(1 - found.confidence).toFixed(2),
  };
  const kind = found.must_rise === "taught" ? "receipt_rule_taught" : found.may_carry?.length ? "receipt_rule_any" : "receipt_rule";
  return app.element("p", { class: "fine" }, app.fill(kind, values));
}

function exams(app, receipt) {
  const make = app.element, heads = ["receipt_exam", "receipt_before", "receipt_after", "receipt_change", "receipt_result"];
  const rows = Object.entries(receipt.tasks ?? {}).map(([name, found]) => make("tr", { class: found.passed ? "" : "short" },
    make("th", { scope: "row" }, task(app, name)),
    make("td", {}, found.champion === null ? "–" : percent(found.champion)),
    make("td", {}, found.candidate === null ? "–" : percent(found.candidate)),
    make("td", {}, found.difference ? change(found.difference) : "–"),
    make("td", { class: "result" }, outcome(app, name, found, receipt.rule ?? {}))));
  if (!rows.length) return "";
  return make("div", { class: "scroll", tabIndex: 0, role: "region", label: "receipt" }, make("table", {},
    make("thead", {}, make("tr", {}, heads.map((key) => make("th", { scope: "col", t: key })))), make("tbody", {}, rows)));
}

/** Where a candidate fell short, in a sentence each: on a phone the table's last column is out of sight. */
function shortfalls(app, receipt) {
  const failed = Object.entries(receipt.tasks ?? {}).filter(([, found]) => !found.passed);
  if (!failed.length) return "";
  const told = (name, found) => `${task(app, name)}: ${found.difference ? `${percent(found.champion)} → ${percent(found.candidate)}; ` : ""}`;
  return app.element("ul", { class: "shortfalls" }, failed.map(([name, found]) =>
    app.element("li", {}, told(name, found) + reason(app, name, found, receipt.rule ?? {}))));
}

const signed = (value) => `${value < 0 ? "−" : "+"}${(Math.abs(value) * 100).toFixed(1)}`;

const change = (found) => `${signed(found.mean)} (${signed(found.low)} … ${signed(found.high)})`;

function outcome(app, name, found, rule) {
  if (found.passed) return [app.element("span", { class: "pass", t: "receipt_passed" })];
  return [app.element("span", { class: "fell", t: "receipt_not_passed" }), ` ${reason(app, name, found, rule)}`];
}

const reason = (app, name, found, rule) =>
  (found.difference ? app.word(name === rule.must_rise ? "receipt_must_rise" : "receipt_fell") : found.why);

function taught(app, rows) {
  const make = app.element;
  return make("div", {}, make("h4", { t: "taught_title" }), make("ul", { class: "taught" }, rows.map((row) => make("li", {},
    make("b", {}, row.question), make("span", {}, row.before), make("span", { "aria-hidden": "true" }, " → "), make("span", {}, row.after), " ",
    make("span", { class: row.kept ? "pass" : "fell", t: row.kept ? "taught_kept" : "taught_not_kept" })))));
}
