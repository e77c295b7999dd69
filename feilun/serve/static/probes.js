// The same questions to every generation: move the slider and read the model learning.

import { dataTable } from "./chart.js";

let chosen = null; // The generation that the reader looks at; null: the last.

export function renderProbes(root, app, { questions, rows }) {
  if (!rows.length) return root.replaceChildren();
  const make = app.element;
  const list = make("dl", { class: "probes" });
  const slider = make("input", { type: "range", min: 0, max: rows.length - 1, step: 1, id: "probe-slider", label: "probes_slider" });
  const told = make("output", { for: "probe-slider" });
  slider.value = chosen ?? rows.length - 1;
  slider.oninput = () => {
    chosen = Number(slider.value) === rows.length - 1 ? null : Number(slider.value);
    show();
  };
  const show = () => {
    const at = Number(slider.value), row = rows[at], name = app.fill("gen", { n: row.number });
    told.replaceChildren(name, " ", make("code", {}, row.name));
    slider.ariaValueText = name;
    const before = rows.find((other) => other.number === row.against) ?? rows[at - 1];
    list.replaceChildren(...questions.map((question, i) => probe(app, question, row.replies[i], before, i)));
  };
  show();
  const columns = [app.word("probe_question"), ...rows.map((row) => app.fill("gen", { n: row.number }))];
  const table = dataTable(app, app.word("probes"), columns, questions.map((question, i) => [question, ...rows.map((row) => row.replies[i] ?? "–")]));
  root.replaceChildren(
    make("div", { class: "slider" }, told, slider, make("ol", { "aria-hidden": "true" }, rows.map((row) => make("li", {}, String(row.number))))),
    list,
    make("details", {}, make("summary", { t: "data_table", "aria-label": `${app.word("data_table")}: ${app.word("probes")}` }),
      make("div", { class: "scroll", tabIndex: 0, role: "region", label: "probes" }, table)));
}

function probe(app, question, reply, before, i) {
  const make = app.element, earlier = before?.replies[i];
  const changed = reply !== null && earlier !== undefined && earlier !== null && earlier !== reply;
  return make("div", { class: changed ? "changed" : "" }, make("dt", {}, question),
    make("dd", {}, reply === null ? make("span", { class: "fine", t: "probe_none" }) : reply || "…",
      changed && make("small", {}, app.fill("probe_before", { n: before.number }), make("q", {}, earlier))));
}
