// The growth view: the wheel, how far it has turned, and the generations it made.

const SVG = "http://www.w3.org/2000/svg";
const STAGES = JSON.parse(document.body.dataset.stages);
const $ = (id) => document.getElementById(id);

let app = null;

export const shortRef = (ref) => ref.replace(/^models\//, "");

export function mount(root, shell) {
  app = shell;
  const make = app.element;
  root.append(
    make("div", { class: "wheel" },
      make("div", { class: "ring" }, wheel(), make("p", { class: "centre" }, make("b", { id: "stage" }), make("span", { id: "percent" }))),
      make("div", { class: "story" },
        make("h1", { id: "headline", t: "no_model" }), make("p", { id: "subline", t: "no_model_more" }),
        make("progress", { id: "bar", max: 1, value: 0 }), make("p", { id: "detail", class: "fine" }),
        make("ol", { id: "stages" }, STAGES.map((stage) => make("li", { t: `stage_${stage}`, data: { stage } }))))),
    make("h2", { t: "generations" }),
    make("div", { class: "scroll", tabIndex: 0, role: "region", label: "generations" }, make("table", { id: "generations" })));
}

export const onStatus = (status) => renderGrowth(status, app.word);

function wheel() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 200 200");
  svg.setAttribute("aria-hidden", "true");
  for (const [i] of STAGES.entries()) svg.append(arc(i, "track", "92 708"), arc(i, "segment", "0 800"));
  return svg;
}

function arc(i, name, dashes) {
  const circle = document.createElementNS(SVG, "circle");
  const facts = { class: name, cx: 100, cy: 100, r: 82, pathLength: 800, "stroke-dasharray": dashes, "stroke-dashoffset": -100 * i - 4 };
  for (const [key, value] of Object.entries(facts)) circle.setAttribute(key, value);
  return circle;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function renderGrowth(status, word) {
  renderWheel(status, word);
  renderGenerations(status, word);
}

function renderWheel(status, word) {
  const ready = status.state === "ready";
  const progress = status.progress ?? { stage: ready ? "idle" : STAGES[0], fraction: 0, eta_seconds: null, detail: "" };
  const at = progress.stage === "done" ? STAGES.length : STAGES.indexOf(progress.stage);
  const fraction = Math.min(1, Math.max(0, progress.fraction));
  document.querySelectorAll("#growth .segment").forEach((node, i) => {
    const filled = i < at ? 1 : i === at ? fraction : 0;
    node.setAttribute("stroke-dasharray", `${92 * filled} 800`);
  });
  for (const node of $("stages").children) {
    const i = STAGES.indexOf(node.dataset.stage);
    node.className = i < at ? "done" : i === at ? "now" : "";
    node.ariaCurrent = i === at ? "step" : null;
  }
  $("stage").textContent = word(`stage_${progress.stage}`);
  const inStage = at >= 0 && at < STAGES.length;
  $("percent").textContent = inStage ? `${Math.round(fraction * 100)} %` : "";
  $("headline").textContent = ready ? shortRef(status.champion.model).split("@")[0] : word("no_model");
  $("subline").textContent = ready ? word("current") : word("no_model_more");
  $("bar").hidden = !inStage;
  $("bar").value = fraction;
  const left = inStage && progress.eta_seconds != null ? eta(progress.eta_seconds, word) : "";
  $("detail").textContent = [progress.detail, left].filter(Boolean).join(" · ");
}

function eta(seconds, word) {
  const text = seconds < 90 ? `${Math.round(seconds)} ${word("seconds")}` : `${Math.round(seconds / 60)} ${word("minutes")}`;
  return `${word("eta")} ${text}`;
}

const percent = (x) => `${Math.round(x * 100)}`;

function figure(interval) {
  const cell = element("td", interval ? `${percent(interval.mean)} %` : "–", "number");
  if (interval?.low != null) cell.append(element("small", `${percent(interval.low)}–${percent(interval.high)}, n = ${interval.n}`));
  return cell;
}

function renderGenerations(status, word) {
  const table = status.progress?.table ?? [];
  const rows = table.length ? table : status.history.map((row) => ({ name: row.epoch, model: row.model, why: row.reason }));
  if (!rows.length) return $("generations").replaceChildren(element("caption", word("none_yet"), "fine"));
  const keys = [...new Set(table.flatMap((row) => Object.keys(row.exams ?? {})))];
  const titles = [word("generation"), word("verdict"), ...(table.length ? [word("acceptance"), ...keys] : [])];
  const head = element("tr");
  head.append(...titles.map((title, i) => {
    const cell = element("th", title, i > 1 ? "number" : "");
    cell.scope = "col";
    return cell;
  }));
  const body = element("tbody"), thead = element("thead");
  body.append(...rows.map((row) => generation(row, keys, table.length > 0, status, word)));
  thead.append(head);
  $("generations").replaceChildren(thead, body);
}

function generation(row, keys, measured, status, word) {
  const line = element("tr");
  const current = status.champion && row.model && shortRef(row.model) === shortRef(status.champion.model);
  line.className = current ? "current" : "";
  const name = element("td", String(row.name)), verdict = element("td", undefined, "why");
  if (row.model) name.append(element("small", shortRef(row.model)));
  if (row.verdict) verdict.append(element("span", word(row.verdict), `verdict ${row.verdict}`));
  if (current) verdict.append(element("span", word("current"), "fine"));
  if (row.why) verdict.append(element("small", row.why));
  line.append(name, verdict);
  if (measured) line.append(figure(row.acceptance), ...keys.map((key) => figure(row.exams?.[key])));
  return line;
}
