// The box: Enter sends, Shift+Enter breaks the line, a draft survives a reload; below it who answers and what may be learnt.

import { element, icon, tool } from "./dom.js";

export class Composer {
  constructor(chat, picker) {
    this.chat = chat;
    this.key = "new";
    this.box = element("textarea", { id: "ask", rows: 1, maxLength: 8000, hint: "ask", label: "ask" });
    this.send = element("button", { id: "send", type: "submit", class: "round primary", label: "send" }, icon("send"));
    this.stop = tool("stop", "stop", () => chat.stop(), { id: "stop", class: "round", hidden: true });
    this.consent = element("button", { id: "consent", class: "tool switch", role: "switch", onclick: () => this.#choose(this.mayLearn ? "serve" : "improve") },
      element("i"), element("span", { t: "may_learn" }));
    this.node = element("form", { id: "composer", autocomplete: "off" }, this.box,
      element("div", { class: "row" }, picker.button, this.consent, element("span", { class: "gap" }), this.stop, this.send));
    this.#listen();
    this.setConsent("improve");
  }

  #listen() {
    this.node.onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.box.onkeydown = (event) => {
      // Enter also ends the composing of a Chinese word; that one does not send. (229: Safari ends composing one event too early.)
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#submit();
    };
    this.box.oninput = () => {
      this.#keep();
      this.refresh();
    };
  }

  #keep() {
    if (this.box.value) sessionStorage.setItem(`draft:${this.key}`, this.box.value);
    else sessionStorage.removeItem(`draft:${this.key}`);
  }

  async #submit() {
    const text = this.box.value.trim();
    if (!text || this.send.disabled || this.asking || this.chat.mustWait()) return;
    this.asking = true;
    const key = this.key, asked = await this.chat.ask(text).catch(() => false);
    this.asking = false;
    if (!asked) return;
    sessionStorage.removeItem(`draft:${key}`);
    sessionStorage.removeItem(`consent:${key}`);
    if (this.box.value.trim() === text) this.box.value = "";
    this.refresh();
  }

  /** The draft of another conversation. */
  open(id) {
    this.key = id ?? "new";
    this.box.value = sessionStorage.getItem(`draft:${this.key}`) ?? "";
    this.recall("improve");
    this.refresh();
  }

  /** A new conversation has got its id; the draft of "new" was sent. */
  rename(id) {
    sessionStorage.removeItem("draft:new");
    sessionStorage.removeItem("consent:new");
    this.key = id;
  }

  get mayLearn() {
    return this.level !== "serve";
  }

  /** The reader's choice; the server keeps it with the next question, this page until then. */
  #choose(level) {
    sessionStorage.setItem(`consent:${this.key}`, level);
    this.setConsent(level);
  }

  /** What was chosen here and not yet sent, else what the server knows. */
  recall(level) {
    this.setConsent(sessionStorage.getItem(`consent:${this.key}`) ?? level);
  }

  setConsent(level) {
    this.level = level;
    this.consent.ariaChecked = String(this.mayLearn);

    this.consent.title = this.chat.app.word(this.mayLearn ? "may_learn_more" : "may_not_learn_more");
  }

  refresh() {
    if (!CSS.supports("field-sizing", "content")) {
      this.box.style.height = "auto";
      this.box.style.height = `${this.box.scrollHeight}px`;
    }
    const { isBusy, isReady } = this.chat;
    this.send.hidden = isBusy;
    this.stop.hidden = !isBusy;
    this.send.disabled = !isReady || !this.box.value.trim();
  }

  focus() {
    this.box.focus();
  }

  /** Not where it would open a keyboard over the page. */
  focusIfRoom() {
    if (matchMedia("(pointer: fine)").matches) this.focus();
  }
}
