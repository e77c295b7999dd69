// Engines elsewhere: a list with a look at each, the owner's word on their terms, and a form for one more.

import { element, fill, say, word } from "./dom.js";

/** The list and the form, in a dialog or wherever `root` stands. */
export async function mount(root, app) {
  await Promise.all([app.load("engines.css"), app.everyWord()]);
  const list = element("div", { class: "engines" });
  const reload = async () => {
    const { engines } = await app.api("GET", "/api/engines");
    const rows = engines.filter((engine) => engine.kind === "remote").map((engine) => row(app, engine, changed));
    list.replaceChildren(...(rows.length ? rows : [element("p", { class: "fine", t: "engine_none" })]));
  };
  const changed = async () => {
    document.dispatchEvent(new Event("engines"));
    await reload();
  };
  root.append(list, form(app, changed));
  await reload();
}

// --- one engine

function row(app, engine, changed) {
  const path = `/api/engines/${engine.name}`;
  const problem = element("p", { class: "fine problem", role: "status" });
  const light = element("i", { class: "light" });
  const told = (ok, text) => {
    light.dataset.ok = ok ?? "";
    problem.textContent = text ?? "";
  };
  const test = element("button", { class: "plain", t: "engine_test", onclick: () => busy(test, async () => {
    problem.textContent = word("engine_testing");
    const found = await app.api("POST", "/api/engines/test", { name: engine.name });
    told(found.ok, found.problem ?? fill("engine_found", { n: found.models.length }));
    document.dispatchEvent(new Event("engines"));
  }, (error) => told(false, error.message)) });
  const failed = (error) => (problem.textContent = error.message);
  told(engine.ok, engine.problem);
  return element("section", { class: "engine", "aria-label": engine.name },
    element("header", {}, light, element("h3", {}, engine.name), element("span", { class: "gap" }), test, remover(app, path, changed, failed)),
    element("p", { class: "fine address" }, `${engine.model} · ${engine.url}`),
    problem,
    terms(engine.teach, (teach) => app.api("PATCH", path, { teach }), failed));
}

/** The switch, and what it means as it stands. `put` tells the server; the switch follows what was kept. */
function terms(teach, put, failed) {
  const meaning = element("p", { class: "fine" });
  const control = element("button", { class: "tool switch", role: "switch" }, element("i"), element("span", { t: "engine_terms" }));
  const show = () => {
    control.ariaChecked = String(teach);
    say(meaning, teach ? "engine_terms_on" : "engine_terms_off");
  };
  control.onclick = () => busy(control, async () => {
    await put(!teach);
    teach = !teach;
    show();
  }, failed);
  show();
  return element("div", { class: "terms" }, control, meaning);
}

/** A press asks, a second one removes; leaving the button takes the question back. */
function remover(app, path, changed, failed) {
  const button = element("button", { class: "plain", t: "engine_remove" });
  const ask = (asking) => {
    button.classList.toggle("sure", asking);
    say(button, asking ? "engine_remove_sure" : "engine_remove");
  };
  button.onblur = () => ask(false);
  button.onclick = () => (button.classList.contains("sure") ? busy(button, async () => {
    await app.api("DELETE", path);
    await changed();
  }, failed) : ask(true));
  return button;
}

// --- one more

function form(app, changed, already = "") {
  const models = element("datalist", { id: "engine-models" });
  const said = element("p", { class: "fine", role: "status" }, already);
  const field = (name, props) => {
    const input = element("input", { id: `engine-${name}`, autocomplete: "off", spellcheck: false, ...props });
    return [input, element("label", { class: "engine-field" }, element("span", { t: `engine_${name}` }), input)];
  };
  const [url, urlField] = field("url", { placeholder: "http://127.0.0.1:8000/v1", required: true, inputMode: "url", maxLength: 2000 });
  const [key, keyField] = field("key", { type: "password", autocomplete: "new-password", maxLength: 4096 });
  const [name, nameField] = field("name", { placeholder: "qwen", required: true, pattern: "[a-z0-9\\-]{1,32}", maxLength: 32 });
  const [model, modelField] = field("model", { maxLength: 200 });
  model.setAttribute("list", models.id);
  let teach = false;
  const failed = (error) => (said.textContent = error.message);
  const allowed = terms(false, async (wanted) => (teach = wanted), failed);
  const test = element("button", { class: "plain", t: "engine_test", onclick: () => url.reportValidity() && busy(test, async () => {
    said.textContent = word("engine_testing");
    const found = await app.api("POST", "/api/engines/test", { url: url.value, key: key.value || null, model: model.value || null });
    said.textContent = found.problem ?? fill("engine_found", { n: found.models.length });
    models.replaceChildren(...found.models.map((value) => element("option", { value })));
    if (found.ok) url.value = found.url;
    if (!model.value && found.models.length === 1) model.value = found.models[0];
  }, failed) });
  const add = element("button", { class: "primary", type: "submit", t: "engine_add" });
  const node = element("form", { class: "new-engine" }, element("h3", { t: "engine_new" }),
    urlField, keyField, modelField, nameField, models, element("p", { class: "fine", t: "engine_key_kept" }), allowed, said,
    element("p", { class: "choices" }, test, add));
  node.onsubmit = (event) => {
    event.preventDefault();
    busy(add, async () => {
      said.textContent = word("engine_testing");
      const wanted = { name: name.value, url: url.value, key: key.value || null, model: model.value || null, teach };
      const added = await app.api("POST", "/api/engines", wanted);
      // A fresh form: nothing of this engine, its key least of all, stays in the page.
      node.replaceWith(form(app, changed, added.problem ?? fill("engine_added", { name: added.name, model: added.model })));
      await changed();
    }, failed);
  };
  return node;
}

/** One thing at a time: `button` rests while `work` goes on. */
async function busy(button, work, failed) {
  if (button.disabled) return;
  button.disabled = true;
  try {
    await work();
  } catch (error) {
    failed(error);
  }
  button.disabled = false;
}
