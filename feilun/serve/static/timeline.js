// The generations, newest on top: what each was asked, what it showed, and what became of it.

import { receiptOf } from "./receipt.js";

export const percent = (share) => `${Math.round(share * 100)} %`;
export const between = (share) => `${Math.round(share.low * 100)}–${Math.round(share.high * 100)} %, n = ${share.n}`;

export function when(app, at) {
  const form = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  return app.element("time", { dateTime: new Date(at * 1000).toISOString() },
    new Intl.DateTimeFormat(app.lang === "zh" ? "zh-CN" : "en", form).format(at * 1000));
}

export const renderTimeline = (app, entries) =>
  app.element("ol", { class: "timeline", reversed: true }, [...entries].reverse().map((entry) => entryOf(app, entry)));

function entryOf(app, entry) {
  const make = app.element;
  const kind = `${entry.verdict}${entry.current ? " current" : ""}`;
  if (entry.verdict === "rollback" || entry.number === null) return make("li", { class: `entry small ${kind}` }, event(app, entry));
  return make("li", { class: `entry ${kind}`, data: { number: entry.number } },
    make("h3", {}, app.fill("gen", { n: entry.number }), " ", make("code", {}, entry.name), verdict(app, entry),
      entry.current && make("span", { class: "answers", t: "current" })),
    make("p", { class: "fine told" }, joined([when(app, entry.at), ...facts(app, entry)])),
    figures(app, entry), account(app, entry), !entry.receipt && reasons(app, entry), entry.receipt && receiptOf(app, entry.receipt));
}

/** What happened without a new model: a rollback, or a turn that made none. */
function event(app, entry) {
  const make = app.element;
  const title = entry.verdict === "rollback" ? app.fill("rolled_back_to", { n: entry.number }) : app.word("no_candidate");
  return make("div", {}, make("h3", {}, title, verdict(app, entry)),
    make("p", { class: "fine told" }, joined([when(app, entry.at), entry.name])), reasons(app, entry), account(app, entry));
}

const WORDS = { failed: "failed_turn" };

const verdict = (app, entry) => app.element("span", { class: `verdict ${entry.verdict}`, t: WORDS[entry.verdict] ?? entry.verdict });

const joined = (parts) => parts.filter(Boolean).flatMap((part, i) => (i ? [" · ", part] : [part]));

function facts(app, entry) {
  const lessons = entry.lessons && app.fill("learnt_from", entry.lessons);
  return [entry.against && app.fill("against_gen", { n: entry.against }), lessons];
}

const reasons = (app, entry) => entry.why.length > 0 && app.element("p", { class: "fine why" }, entry.why.join("; "));

/** The turn in plain words, as it was written when the turn ended. */
const account = (app, entry) => entry.turn && app.element("p", { class: "fine account" },
  app.element("a", { href: `/api/turns/${encodeURIComponent(entry.turn)}/account?lang=${app.lang}`, target: "_blank", t: "account" }));

function figures(app, entry) {
  const make = app.element;
  const one = (label, share, more) => make("div", {}, make("dt", { t: label }),
    make("dd", {}, make("b", {}, percent(share.mean)), " ", make("small", {}, [between(share), more].filter(Boolean).join("; "))));
  const blind = [entry.own, entry.blind].find((found) => found?.share.n);
  const rows = [
    blind && one("blind_won", blind.share, app.fill("blind_undecided", blind)),
    entry.acceptance && one("accepted", entry.acceptance),
  ].filter(Boolean);
  return rows.length > 0 && make("dl", { class: "figures" }, rows);
}
