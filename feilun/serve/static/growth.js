// The growth view: one sentence of truth, what happens now, the generations, curves, probes, how it began, and what to take away.

import { renderBirth } from "./birth.js";
import { chartGrid } from "./chart.js";
import { Judge } from "./judge.js";
import { mountNow, renderNow } from "./now.js";
import { renderProbes } from "./probes.js";
import { renderTimeline } from "./timeline.js";

const LOOK_AGAIN_MS = 60_000;
const parts = {};
const drawn = new Map();

let app = null;
let data = null;
let seen = "";
let asking = false;
let lookedAt = 0;
let hasTurn = false;
let judge = null;

export function mount(root, shell) {
  app = shell;
  const make = app.element;
  const part = (name, ...inside) => (parts[name] = make("section", { class: `part-${name}`, hidden: true }, ...inside));
  const titled = (name, more) => part(name, make("h2", { t: name, id: `title-${name}` }), more && make("p", { class: "fine", t: more }), make("div"));
  parts.truth = make("header", { class: "truth" });
  root.append(make("div", { class: "growing" }, parts.truth, part("now"), part("turn"),
    titled("judging", "judging_more"), titled("generations", "timeline_more"), titled("probes", "probes_more"), titled("curves", "curves_more"), part("birth"), titled("downloads")));
  for (const name of ["judging", "generations", "curves", "probes", "downloads"]) parts[name].setAttribute("aria-labelledby", `title-${name}`);
  mountNow(parts.now, app);
  mountTurn();
  mountJudge();
}

/** Pairs of a rollout's shadow, to be judged without knowing whose answers they are. */
function mountJudge() {
  const chosen = { first: 0, second: 1 };
  judge = new Judge({
    take: async () => {
      const { pair } = await app.api("GET", "/api/rollout/pair");
      return { task: pair && { id: [pair.id, pair.slot], messages: pair.messages, answers: pair.blocks }, looking: false };
    },
    give: async ({ task: [pair, slot], outcome }) => {
      await app.api("POST", "/api/rollout/judgement", { pair, slot, chosen: chosen[outcome] ?? outcome });
      return { id: pair };
    },
    told: () => "", changed: () => {}, report: app.report,
  });
  judge.node.addEventListener("keydown", (event) => judge.key(event));
  parts.judging.querySelector(":scope > div").append(judge.node);
}

/** The panel of the turn, where this server has one. */
async function mountTurn() {
  if (!document.querySelector('[data-part="turn"]')) return;
  const module = await import("./turn.js");
  if (!module.mountTurn) return;
  await module.mountTurn(parts.turn, app);
  hasTurn = true;
  parts.turn.hidden = Boolean(data?.birth.making);
}

export function onShow() {
  seen = "";
  look();
}

export function onStatus(status) {
  renderNow(parts.now, app, status);
  look();
}

export const onLanguage = () => {
  judge.speak();
  drawn.clear();
  seen = "";
  look();
};

const isOpen = () => document.body.dataset.view === "growth" && !document.hidden;

/** Ask again when the server says that something changed; choices of the owner change no version, so now and then anyway. */
async function look() {
  const version = `${app.lang} ${app.status?.growth_version}`;
  if (!isOpen() || asking || !app.status || (seen === version && Date.now() - lookedAt < LOOK_AGAIN_MS)) return;
  asking = true;
  try {
    data = await app.api("GET", `/api/growth?lang=${app.lang}`);
    [seen, lookedAt] = [version, Date.now()];
    render();
  } catch (error) {
    if (error.code !== "lost") app.report(error);
  } finally {
    asking = false;
  }
}

/** Draw a part again only if what it shows is new: what the reader opened there stays open. */
function draw(name, value, how) {
  const told = JSON.stringify(value);
  if (drawn.get(name) === told) return;
  drawn.set(name, told);
  how(value);
}

function render() {
  const { truth, generations, probes, charts, birth, downloads } = data;
  const inside = (name) => parts[name].querySelector(":scope > div");
  const measures = charts.filter((chart) => !chart.name.startsWith("loss-"));
  draw("truth", truth, renderTruth);
  draw("generations", generations, (value) => inside("generations").replaceChildren(renderTimeline(app, value)));
  draw("probes", probes, (value) => renderProbes(inside("probes"), app, value));
  draw("curves", measures, (value) => inside("curves").replaceChildren(chartGrid(app, value)));
  const losses = charts.filter((chart) => chart.name.startsWith("loss-"));
  draw("birth", { birth, losses }, (value) => renderBirth(parts.birth, app, value));
  draw("downloads", downloads, (value) => inside("downloads").replaceChildren(renderDownloads(value)));
  parts.judging.hidden = !data.judging && !judge.task;
  if (data.judging && !judge.task) app.load("learn.css").then(() => judge.next());
  parts.generations.hidden = !generations.length;
  parts.probes.hidden = !probes.rows.length;
  parts.curves.hidden = !measures.length;
  parts.birth.hidden = !birth.corpus && !birth.runs.length && !birth.making;
  parts.downloads.hidden = !downloads.champion;
  // What is being made stands on top, what was made once near the end.
  parts.turn.hidden = !hasTurn || Boolean(birth.making);
  if (birth.making) parts.now.after(parts.birth);
  else if (parts.birth.nextElementSibling !== parts.downloads) parts.downloads.before(parts.birth);
}

function renderTruth(truth) {
  const [first, ...others] = truth.map((row) => ({ text: row.text[app.lang], about: row.about?.[app.lang] }));
  parts.truth.replaceChildren(app.element("h1", {}, first.text), first.about && app.element("p", { class: "fine" }, first.about) || "",
    ...others.map((row) => app.element("p", { class: "besides" }, row.text, " ", app.element("small", {}, row.about ?? ""))));
}

function renderDownloads(found) {
  const make = app.element;
  const link = (name, what) => make("li", {}, found[name]
    ? make("a", { class: "chip", href: `/api/download/${name}`, download: "" }, make("b", { t: `download_${name}` }), " ",
      make("small", { t: `download_${name}_more` }), what && make("code", {}, what))
    : make("span", { class: "chip none" }, make("b", { t: `download_${name}` }), " ", make("small", { t: "download_none" })));
  return make("ul", { class: "downloads" }, link("champion", found.champion), link("lessons", found.lessons), link("report"));
}
