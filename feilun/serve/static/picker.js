// Who answers: the own model, or an engine elsewhere; perhaps a second one beside it. And what the chat may be used for.

import { shortModel } from "./answer.js";
import { element, icon, word } from "./dom.js";

const OWN = "feilun";

export class Picker {
  constructor(chat) {
    this.chat = chat;
    this.engines = [];
    this.model = sessionStorage.getItem("model") ?? OWN;
    this.beside = sessionStorage.getItem("beside") ?? "";
    this.name = element("span", { class: "name" });
    this.button = element("button", { class: "tool picker", "aria-haspopup": "dialog", onclick: () => this.#open() },
      element("span", { class: "unseen", t: "who_answers" }), this.name, icon("down"));
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

  /** Whether what `model` said may teach: an engine elsewhere only where the owner says that its terms allow it. */
  mayTeach(model) {
    if (!model?.startsWith("engine:")) return true;
    return Boolean(this.engines.find(({ name }) => name === shortModel(model))?.teach);
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

  async #open() {
    const { chooseEngine } = await import("./choose.js");
    chooseEngine(this);
  }

  /** Who shall give another answer: asks only where there is a choice; null when the reader thinks better of it. */
  async another() {
    if (this.choices.length < 2) return this.model;
    const { chooseAnother } = await import("./choose.js");
    return chooseAnother(this);
  }

  choose(wanted) {
    this.#set(wanted);
    if (this.beside === this.model) this.#set({ beside: "" });
  }
}
