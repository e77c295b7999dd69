// Who answers: the own model, or an engine elsewhere; perhaps a second one beside it. And what the chat may be used for.

import { shortModel } from "./answer.js";
import { openDialog } from "./dialog.js";
import { element, icon, word } from "./dom.js";

const OWN = "feilun";

export class Picker {
  constructor(chat) {
    this.chat = chat;
    this.engines = [];
    this.model = sessionStorage.getItem("model") ?? OWN;
    this.beside = sessionStorage.getItem("beside") ?? "";
    this.name = element("span", { class: "name" });
    this.button = element("button", { class: "tool picker", label: "who_answers", "aria-haspopup": "dialog", onclick: () => this.#open() }, this.name, icon("down"));
    this.hasEngines = "engines" in document.body.dataset;
    if (this.hasEngines) {
      document.addEventListener("engines", () => this.load());
      this.load();
    }
    this.show();
  }

  async load() {
    try {
      const { engines } = await this.chat.app.api("GET", "/api/engines");
      this.engines = engines.filter((engine) => engine.kind === "remote");
    } catch (error) {
      console.warn(error);
    }
    if (!this.#known(this.model)) this.#set({ model: OWN });
    if (this.beside && (!this.#known(this.beside) || this.beside === this.model)) this.#set({ beside: "" });
    this.show();
  }

  /** All that may be asked: [{model, title}], the own one first. */
  get choices() {
    return [{ model: OWN, title: this.#title(OWN) }, ...this.engines.map(({ name }) => ({ model: `engine:${name}`, title: name }))];
  }

  #known(model) {
    return this.choices.some((choice) => choice.model === model);
  }

  #title(model) {
    if (model !== OWN) return shortModel(model);
    const ref = this.chat.app.status?.champion?.model;
    return ref ? shortModel(ref) : word("no_model_yet");
  }

  /** The ref that will speak when `model` is asked, as far as one can know. */
  refOf(model) {
    return model === OWN ? this.chat.app.status?.champion?.model : model;
  }

  show() {
    this.name.textContent = [this.model, this.beside].filter(Boolean).map((model) => this.#title(model)).join(" + ");
    this.button.disabled = !this.hasEngines;
    this.button.title = this.refOf(this.model) ?? "";
  }

  #set(wanted) {
    Object.assign(this, wanted);
    for (const [name, value] of Object.entries(wanted)) sessionStorage.setItem(name, value);
    this.show();
  }

  #open() {
    const { app } = this.chat, radio = (name, { model, title }, checked) => element("label", { class: "option" },
      element("input", { type: "radio", name, value: model, checked, onchange: () => (this.#set({ [name]: model }), draw()) }), element("span", {}, title));
    const first = element("fieldset"), second = element("fieldset"), draw = () => {
      if (this.beside === this.model) this.#set({ beside: "" });
      first.replaceChildren(element("legend", { t: "who_answers" }), ...this.choices.map((each) => radio("model", each, each.model === this.model)));
      const others = [{ model: "", title: word("nobody") }, ...this.choices.filter((each) => each.model !== this.model)];
      second.replaceChildren(element("legend", { t: "beside" }), ...others.map((each) => radio("beside", each, each.model === this.beside)));
      second.hidden = this.choices.length < 2;
    };
    draw();
    const more = element("button", { class: "plain", t: "manage_engines", onclick: () => (dialog.close(), this.#manage()) });
    const dialog = openDialog(app, "who_answers", first, second, element("p", {}, more));
    dialog.querySelector("input:checked")?.focus();
  }

  async #manage() {
    const { app } = this.chat, root = element("div");
    try {
      const module = await import("./engines.js");
      openDialog(app, "manage_engines", root);
      await module.mount(root, app);
    } catch (error) {
      app.report(error);
    }
  }
}

/** Whose turn it is to give another answer; asks only where there is a choice. */
export function pickAnother(chat, picker) {
  if (picker.choices.length < 2) return Promise.resolve(picker.model);
  return new Promise((resolve) => {
    let chosen = null;
    const buttons = picker.choices.map(({ model, title }) => element("button", { class: "chip", onclick: () => ((chosen = model), dialog.close()) }, title));
    const dialog = openDialog(chat.app, "another_from", element("p", { class: "starters" }, buttons));
    dialog.addEventListener("close", () => resolve(chosen));
    (buttons[picker.choices.findIndex((each) => each.model === picker.model)] ?? buttons[0]).focus();
  });
}
