// What the ring does at this moment: the wheel, the stage, and how long it takes.

const SVG = "http://www.w3.org/2000/svg";
const STAGES = JSON.parse(document.body.dataset.stages);

export function mountNow(root, app) {
  const make = app.element;
  root.setAttribute("aria-labelledby", "stage");
  root.append(
    make("div", { class: "ring" }, wheel(), make("p", { class: "centre" }, make("b", { id: "stage" }), make("span", { id: "percent" }))),
    make("div", { class: "story" },
      make("progress", { id: "progress", max: 1, value: 0, "aria-labelledby": "stage" }), make("p", { id: "detail", class: "fine" }),
      make("ol", { id: "stages" }, STAGES.map((stage) => make("li", { t: `stage_${stage}`, data: { stage } })))));
}

export function renderNow(root, app, status) {
  const progress = status.progress, at = progress ? STAGES.indexOf(progress.stage) : -1;
  root.hidden = at < 0;
  const get = (id) => root.querySelector(`#${id}`);
  const fraction = Math.min(1, Math.max(0, progress?.fraction ?? 0));
  root.querySelectorAll(".segment").forEach((node, i) => {
    const filled = i < at ? 1 : i === at ? fraction : 0;
    node.setAttribute("stroke-dasharray", `${92 * filled} 800`);
  });
  for (const node of get("stages").children) {
    const i = STAGES.indexOf(node.dataset.stage);
    node.className = i < at ? "done" : i === at ? "now" : "";
    node.ariaCurrent = i === at ? "step" : null;
  }
  get("stage").textContent = app.word(`stage_${STAGES[Math.max(0, at)]}`);
  get("percent").textContent = at < 0 ? "" : `${Math.round(fraction * 100)} %`;
  get("progress").value = fraction;
  const left = progress?.eta_seconds == null ? "" : eta(progress.eta_seconds, app);
  get("detail").textContent = [progress?.detail, left].filter(Boolean).join(" · ");
}

function eta(seconds, app) {
  const text = seconds < 90 ? `${Math.round(seconds)} ${app.word("seconds")}` : `${Math.round(seconds / 60)} ${app.word("minutes")}`;
  return `${app.word("eta")} ${text}`;
}

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
