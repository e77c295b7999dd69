// How the first generation came to be, or is coming to be: the text it reads, its loss, what it writes on the way.

import { chartFigure } from "./chart.js";

export function renderBirth(root, app, { birth, losses }) {
  const make = app.element;
  root.setAttribute("aria-labelledby", "title-birth");
  root.classList.toggle("live", Boolean(birth.making));
  root.replaceChildren(
    make("h2", { t: birth.making ? "birth_live" : "birth", id: "title-birth", class: birth.making ? "unseen" : "" }),
    make("div", { class: "birth" },
      make("div", { class: "corpus" }, make("h3", { t: "corpus_title" }), corpus(app, birth.corpus)),
      losses.map((chart) => make("div", { class: "loss" }, chartFigure(app, chart), progress(app, birth.runs, chart.name)))),
    birth.runs.length || birth.making ? samples(app, birth.samples, birth.making) : "");
}

function corpus(app, found) {
  const make = app.element, count = (n) => n.toLocaleString(app.lang === "zh" ? "zh-CN" : "en");
  if (!found) return make("p", { class: "fine", t: "corpus_wait" });
  const { kept, dropped, validation } = found.documents;
  const languages = Object.entries(found.languages).sort(([, a], [, b]) => b.bytes - a.bytes);
  const row = (label, parts, none) => make("div", {}, make("dt", { t: label }),
    make("dd", {}, parts.length ? parts.map((part) => make("span", {}, part)) : make("span", { t: none })));
  return make("div", {}, make("p", { class: "main" }, make("b", {}, app.fill("corpus_kept", { kept: count(kept), dropped: count(dropped) })), " ",
    make("span", {}, app.fill("corpus_size", { mb: (found.bytes / 1e6).toFixed(1), validation: count(validation) }))), make("dl", {},
    row("corpus_languages", languages.map(([lang, part]) => `${named(app, "lang", lang)} ${Math.round((100 * part.bytes) / found.bytes)} %`), "corpus_wait"),
    row("corpus_dropped", Object.entries(found.dropped).map(([why, n]) => `${named(app, "dropped", why)} ${count(n)}`), "corpus_dropped_none"),
    row("corpus_repaired", Object.entries(found.repaired).map(([why, n]) => `${why} ${count(n)}`), "corpus_repaired_none")));
}

function named(app, kind, name) {
  const key = `${kind}_${name}`, text = app.word(key);
  return text === key ? name : text;
}

function progress(app, runs, chart) {
  const run = runs.find((found) => chart === `loss-${found.stage}`);
  return run && run.step < run.num_steps ? app.element("p", { class: "fine" }, app.fill("run_step", { step: run.step, num: run.num_steps })) : "";
}

/** Grouped by step, in the order of writing; while more are to come the last one stands on top. */
function samples(app, rows, making) {
  const make = app.element, steps = [...new Set(rows.map((row) => row.step))];
  if (making) steps.reverse();
  const text = (row) => make("p", {}, make("b", {}, row.prompt), make("span", {}, row.text));
  const group = (step) => make("li", {}, make("h4", {}, app.fill("sample_step", { step: step.toLocaleString("en") })),
    make("div", {}, rows.filter((row) => row.step === step).map(text)));
  return make("div", { class: "samples" }, make("h3", { t: "samples_title" }), make("p", { class: "fine", t: rows.length ? "samples_more" : "samples_wait" }),
    make("ol", {}, steps.map(group)));
}
