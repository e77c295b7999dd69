// The page of a labelling desk. A rater's key stays in this tab; the owner's session needs none, and sees how far the desk has come.

import { newKey } from "./api.js";
import { Blocks } from "./blocks.js";
import { element, fill, lang, say, setLanguage, word } from "./dom.js";
import { Judge } from "./judge.js";

const KEPT = "desk-key";
const $ = (id) => document.getElementById(id);
const root = $("desk");
const note = element("p", { class: "notice", role: "alert", hidden: true });
const guide = element("details", { class: "guide" }, element("summary", { t: "desk_guidelines" }));
const done = element("p", { class: "worth", role: "status" });
const report = element("section", { class: "report", label: "desk_progress", hidden: true });
const state = { mine: 0, owner: false, name: "", progress: null };

const judge = new Judge({
  take, give: (body) => call("POST", "/api/desk/answers", body, { "Idempotency-Key": newKey() }), told: () => "", extra: gold,
  changed: () => (tell(), look()), report: (error) => show(error.message),
});

/** The JSON of a call with this tab's key; a refused key is asked for again. */
async function call(method, path, body, more = {}) {
  const key = sessionStorage.getItem(KEPT), headers = { ...more, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) }).catch(() => {
    throw new Error(word("lost"));
  });
  const found = await response.json().catch(() => ({}));
  if (response.ok) return found;
  if ([401, 403].includes(response.status)) ask(key ? found.error?.message : "");
  throw new Error(found.error?.message ?? response.statusText);
}

async function take() {
  const found = await call("GET", "/api/desk");
  Object.assign(state, { mine: found.done, owner: found.owner, name: found.desk?.name ?? "" });
  if (found.desk?.name !== guide.dataset.of) {
    const body = new Blocks();
    body.replace(0, found.desk?.guidelines ?? []);
    guide.replaceChildren(guide.firstElementChild, body.node);
    Object.assign(guide.dataset, { of: found.desk?.name ?? "" });
    guide.open = Boolean(found.desk?.guidelines.length);
  }
  guide.hidden = !found.desk?.guidelines.length;
  judge.count = 0;
  tell();
  show("");
  return { task: found.task, looking: false };
}

function tell() {
  done.textContent = state.name ? fill("desk_done", { name: state.name, n: state.mine + judge.count }) : word("desk_closed");
}

function show(text) {
  note.textContent = text;
  note.hidden = !text;
}

/** The door: a key, once a tab. */
function ask(why) {
  sessionStorage.removeItem(KEPT);
  judge.task = null;
  $("forget").hidden = true;
  const box = element("input", { type: "password", id: "key", required: true, autocomplete: "off", spellcheck: false });
  const form = element("form", { class: "door", onsubmit: (event) => (event.preventDefault(), enter(box.value.trim())) },
    element("h1", { t: "desk_door" }), element("p", { class: "fine", t: "desk_door_more" }),
    element("label", { for: "key", t: "desk_key" }), box, element("button", { class: "primary", type: "submit", t: "desk_enter" }));
  root.replaceChildren(note, form);
  show(why ?? "");
  box.focus();
}

function enter(key) {
  sessionStorage.setItem(KEPT, key);
  begin();
}

/** After the owner's own judgement: everybody may be asked it, and be measured by it. */
function gold(judge) {
  if (!state.owner) return [];
  const right = { 1: "first", 2: "second", "=": "tie", 0: "both_bad" }[judge.outcome], task = judge.task.id;
  const button = element("button", { class: "plain", t: "desk_gold", onclick: async () => {
    try {
      await call("POST", "/api/desk/gold", { task, right });
      button.disabled = true;
      say(button, "desk_is_gold");
      look();
    } catch (error) {
      show(error.message);
    }
  } });
  return [button];
}

async function look() {
  if (!state.owner) return;
  try {
    state.progress = (await call("GET", "/api/desk/progress")).desk;
    draw();
  } catch (error) {
    show(error.message);
  }
}

const rounded = (value, digits) => (value === null ? "–" : value.toFixed(digits));

function draw() {
  const found = state.progress;
  report.hidden = !found;
  if (!found) return;
  const price = (value) => (value === null ? "–" : `${value.toFixed(2)} ${found.currency}`.trim());
  const interval = found.low === null ? "" : ` [${rounded(found.low, 2)}, ${rounded(found.high, 2)}]`;
  const facts = [
    fill("desk_settled", { n: found.settled, of: found.tasks, gold: found.gold }), fill("desk_labels", { n: found.labels, hours: rounded(found.hours, 1) }),
    fill("desk_agreement", { alpha: rounded(found.agreement, 2) + interval, n: found.shared }),
    fill("desk_cost", { cost: price(found.cost), each: price(found.cost_a_task) }),
  ];
  const heads = ["rater", "labels", "gold", "agrees", "trust", "seconds", "cost"].map((name) => element("th", { scope: "col", t: `desk_col_${name}` }));
  const rows = found.raters.map((rater) => element("tr", {}, element("th", { scope: "row" }, rater.rater), ...[
    rater.labels, rater.gold_asked ? `${rater.gold_right} / ${rater.gold_asked}` : "–", rounded(rater.agrees, 2), rounded(rater.trust, 2), rounded(rater.seconds, 0), price(rater.cost),
  ].map((text) => element("td", {}, String(text)))));
  report.replaceChildren(element("h2", { t: "desk_progress" }), element("ul", {}, facts.map((fact) => element("li", {}, fact))),
    element("div", { class: "wide", tabIndex: 0 }, element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows))));
}

async function begin() {
  root.replaceChildren(note, element("div", { class: "learn" }, element("h1", { t: "which_better" }), done, guide, judge.node, report));
  $("forget").hidden = !sessionStorage.getItem(KEPT);
  await judge.next();
  look();
}

$("language").onclick = async () => {
  await setLanguage(lang() === "zh" ? "en" : "zh").catch((error) => show(error.message));
  $("language").lang = lang() === "zh" ? "en" : "zh-CN";
  document.title = word("desk_title");
  judge.speak();
  tell();
  draw();
};
$("forget").onclick = () => ask("");
document.addEventListener("keydown", (event) => judge.key(event));
begin();
