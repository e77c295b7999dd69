// The copywriting view: a brief on one side, three drafts on the other; rules are checked here and now, taste is the reader's.

import { Drafts } from "./draft.js";
import { element, fill, lang, say, word } from "./dom.js";

const KEPT = "brief", CONSENT = "consent:ads";
const START = { zh: { price: 59, limit: 20 }, en: { price: 59, limit: 12 } };

let app = null;
let choices = null;
let drafts = null;
let form = null;
let ready = false;
let example = 0;

export async function mount(root, shell) {
  app = shell;
  choices = await app.api("GET", "/api/copywriting/choices");
  drafts = new Drafts(app, () => refresh());
  form = makeForm();
  root.append(element("div", { class: "scene" }, form.node, drafts.node));
  setConsent(consent());
  set(kept() ?? choices[lang()].briefs.find((brief) => brief.tone === "lively"));
  document.addEventListener("keydown", keys);
}

export function onShow() {
  if (!drafts.isThere) form.product.focus({ preventScroll: true });
}

export function onStatus(status) {
  ready = status.state === "ready";
  refresh();
}

export function onLanguage() {
  drafts.speak();
  setConsent(consent());
  refresh();
}

// --- the brief

function makeForm() {
  const field = (t, control, more) => element("label", { class: "field" }, element("span", { t }), control, more);
  const text = () => element("input", { type: "text", required: true, maxLength: 40, autocomplete: "off", pattern: "[^,;:。，；：]+" });
  const number = (min, max) => element("input", { type: "number", required: true, min, max, step: 1, inputMode: "numeric" });
  const options = (id) => element("datalist", { id });
  const made = {
    product: text(), feature: text(), price: number(1, 999), limit: number(1, 200), products: options("products"), features: options("features"),
    tone: group("tone", ["plain", "lively", "formal"], (tone) => `tone_${tone}`), lang: group("ad_language", ["zh", "en"], (code) => `language_${code}`),
    write: element("button", { class: "primary", type: "submit", t: "write_drafts" }), note: element("p", { class: "fine", role: "status" }),
    consent: element("button", { class: "tool switch", role: "switch", onclick: () => setConsent(consent() === "serve" ? "improve" : "serve") },
      element("i"), element("span", { t: "may_learn" })),
  };
  made.product.setAttribute("list", "products");
  made.feature.setAttribute("list", "features");
  made.limitName = element("span", { class: "fine" });
  made.node = element("form", { class: "brief", label: "brief" }, element("h1", { t: "brief" }), element("p", { class: "fine", t: "brief_more" }),
    field("product", made.product, made.products), field("feature", made.feature, made.features),
    element("div", { class: "pair" }, field("price", made.price, element("span", { class: "fine", t: "yuan" })), field("at_most", made.limit, made.limitName)),
    made.tone.node, made.lang.node,
    element("p", { class: "choices" }, element("button", { class: "plain", t: "another_brief", onclick: another }), made.write), made.consent, made.note);
  made.node.onsubmit = (event) => (event.preventDefault(), write());
  made.node.oninput = (event) => (event.target.name === "ad_language" ? changeLanguage() : changed());
  return made;
}

/** Radio buttons in a row: {node, value}. */
function group(name, values, key) {
  const inputs = values.map((value) => element("input", { type: "radio", name, value }));
  const labels = inputs.map((input) => element("label", { class: "segment" }, input, element("span", { t: key(input.value) })));
  const node = element("fieldset", { class: "segments" }, element("legend", { t: name }), element("div", {}, labels));
  return { node, get value() { return inputs.find((input) => input.checked)?.value; }, set value(wanted) { inputs.forEach((input) => (input.checked = input.value === wanted)); } };
}

function read() {
  return {
    lang: form.lang.value, product: form.product.value.trim(), feature: form.feature.value.trim(),
    price: Number(form.price.value), tone: form.tone.value, limit: Number(form.limit.value),
  };
}

function set(brief) {
  for (const name of Object.keys(brief)) {
    if (form[name].node) form[name].value = brief[name];
    else form[name].value = String(brief[name]);
  }
  changed();
}

/** The same in the other language where the shop knows it; a limit of characters is none of words. */
function changeLanguage() {
  const wanted = form.lang.value, from = wanted === "zh" ? "en" : "zh", translate = (word) => choices[from].names[word] ?? word;
  const { product, feature } = read();
  Object.assign(form.product, { value: translate(product) });
  Object.assign(form.feature, { value: translate(feature) });
  form.limit.value = String(START[wanted].limit);
  changed();
}

function another() {
  const { briefs } = choices[form.lang.value ?? lang()];
  example = (example + 1) % briefs.length;
  set(briefs[example]);
  form.write.focus();
}

function changed() {
  const { products } = choices[form.lang.value], known = products[form.product.value.trim()];
  const all = known ?? [...new Set(Object.values(products).flat())];
  list(form.products, Object.keys(products));
  list(form.features, all);
  say(form.limitName, form.lang.value === "zh" ? "characters" : "words_unit");
  sessionStorage.setItem(KEPT, JSON.stringify(read()));
  drafts.check(form.node.checkValidity() ? read() : null);
  refresh();
}

function list(node, values) {
  const stamp = values.join("\n");
  if (node.dataset.shown === stamp) return;
  node.dataset.shown = stamp;
  node.replaceChildren(...values.map((value) => element("option", { value })));
}

function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null;
  }
}

/** What may be done with the next drafts; the chat asks for itself, conversation by conversation. */
const consent = () => sessionStorage.getItem(CONSENT) ?? "improve";

function setConsent(level) {
  sessionStorage.setItem(CONSENT, level);
  form.consent.ariaChecked = String(level !== "serve");
  form.consent.title = word(level === "serve" ? "may_not_learn_more" : "may_learn_more");
}

function refresh() {
  form.write.disabled = !ready || drafts.isRunning;
  say(form.note, ready ? "drafts_hint" : "no_model");
}

// --- writing

async function write() {
  if (!ready || drafts.isRunning || !form.node.reportValidity()) return;
  try {
    await drafts.write(read(), consent());
  } catch (error) {
    app.report(error);
  }
  refresh();
}

function keys(event) {
  if (document.body.dataset.view !== "copy" || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return drafts.stop();
  if (!event.target.matches?.("textarea, input, select")) drafts.key(event);
}
