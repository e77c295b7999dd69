// Three drafts of one brief: each with its rules, to be chosen, corrected in place or copied. Every control is one signal.

import { shortModel } from "./answer.js";
import { Blocks } from "./blocks.js";
import { element, icon, say, tool, word } from "./dom.js";
import { makeEditor } from "./editor.js";
import { Live } from "./live.js";
import { copyText } from "./marks.js";

const NUM_DRAFTS = 3, TEMPERATURE = 1.0, CHECK_MS = 120;

export class Drafts {
  constructor(app, onchange) {
    Object.assign(this, { app, onchange, brief: null, cards: [], live: null, outcome: null, event: null });
    this.grid = element("div", { class: "drafts" });
    this.bar = element("p", { class: "votes", role: "group", label: "which_draft" });
    this.empty = element("p", { class: "nothing", t: "no_drafts" });
    this.node = element("section", { class: "desk", label: "drafts", tabIndex: -1 }, this.empty, this.grid, this.bar);
  }

  get isThere() {
    return this.cards.length > 0;
  }

  get isRunning() {
    return Boolean(this.live);
  }

  get isReady() {
    return this.isThere && this.cards.every((card) => card.address);
  }

  /** Ask for three drafts of `brief`, as the model is asked everywhere; `consent` is what may be learnt from them. */
  async write(brief, consent) {
    const { question } = await this.app.api("POST", "/api/copywriting/check", { brief, text: "" });
    const body = { thread_id: null, parent: null, text: question, model: "feilun", n: NUM_DRAFTS, temperature: TEMPERATURE };
    const made = await this.app.api("POST", "/api/chat", { ...body, consent });
    Object.assign(this, { brief, consent, outcome: null, event: null });
    this.cards = Array.from({ length: NUM_DRAFTS }, (_, index) => new Card(this, index));
    this.grid.replaceChildren(...this.cards.map((card) => card.node));
    this.live = new Live({ id: made.id, parent: made.question, num_answers: NUM_DRAFTS }, this.app, {
      update: (live, index, from) => this.cards[index].grow(live.answers[index].blocks, from),
      lost: (_, lost) => this.node.classList.toggle("cut-off", lost),
      end: (live, data) => this.#end(live, data),
      fail: (_, message) => this.#fail(message),
    });
    this.refresh();
    this.node.scrollIntoView({ block: "nearest", behavior: "smooth" });
    this.live.follow();
  }

  #end(live, data) {
    for (const { index, text } of data.answers) this.cards[index].finish({ id: live.id, index }, text, live.model);
    this.live = null;
    this.app.announce(word("drafts_ready"));
    this.refresh();
  }

  #fail(message) {
    this.live = null;
    this.cards.forEach((card) => card.node.classList.remove("running"));
    this.app.report(new Error(message));
    this.refresh();
  }

  stop() {
    this.live?.stop().catch(this.app.report);
  }

  /** The brief has changed on the form: the drafts are looked at anew. */
  check(brief) {
    if (!brief || !this.isThere) return;
    this.brief = brief;
    this.cards.forEach((card) => card.check());
  }

  refresh() {
    this.empty.hidden = this.isThere;
    this.cards.forEach((card) => card.refresh());
    this.bar.replaceChildren(...this.#votes());
    this.onchange();
  }

  #votes() {
    if (!this.isReady) return [];
    if (this.outcome) return [said(this.outcome), element("button", { class: "link", t: "undo", onclick: () => this.undo() })];
    const keys = [...this.cards.map((_, i) => [String(i + 1), `draft_${i + 1}`]), ["=", "vote_tie"], ["0", "vote_bad"]];
    return keys.map(([key, t]) => element("button", { class: "plain", data: { vote: key }, onclick: () => this.vote(key) },
      element("kbd", {}, key), element("span", { t })));
  }

  /** A key that is a vote. */
  key(event) {
    const key = event.key === "＝" ? "=" : event.key, known = ["=", "0", ...this.cards.map((_, i) => String(i + 1))];
    if (!known.includes(key) || this.outcome || !this.isReady) return;
    event.preventDefault();
    this.vote(key);
  }

  /** One choice over the two others; the target is the winner, or for a tie and for all bad the first that was shown. */
  async vote(key) {
    const winner = this.cards[Number(key) - 1] ?? this.cards[0], over = this.cards.filter((card) => card !== winner).map((card) => card.address);
    this.bar.querySelectorAll("button").forEach((button) => (button.disabled = true));
    try {
      const value = { over, outcome: { "=": "tie", 0: "both_bad" }[key] ?? "win" };
      const result = await this.app.signal({ target: winner.address, kind: "choice", value });
      Object.assign(this, { outcome: key, event: result.id, target: winner.address });
    } catch (error) {
      this.app.report(error);
    }
    this.refresh();
    this.node.focus({ preventScroll: true });
  }

  async undo() {
    try {
      await this.app.signal({ target: this.target, kind: "choice", value: null, supersedes: this.event });
      Object.assign(this, { outcome: null, event: null });
    } catch (error) {
      this.app.report(error);
    }
    this.refresh();
    this.node.focus({ preventScroll: true });
  }

  speak() {
    this.cards.forEach((card) => card.showRules());
  }
}

function said(outcome) {
  const node = element("span", { class: "fine", role: "status" });
  say(node, { "=": "voted_tie", 0: "voted_bad" }[outcome] ?? `chose_draft_${outcome}`);
  return node;
}

class Card {
  constructor(drafts, index) {
    Object.assign(this, { drafts, app: drafts.app, index, address: null, text: "", lesson: null, rules: null, asked: 0 });
    this.body = new Blocks();
    this.who = element("span", { class: "who" });
    this.list = element("ul", { class: "rules", label: "rules" });
    this.foot = element("footer", {});
    this.node = element("article", { class: "draft running" }, element("header", {}, element("kbd", {}, String(index + 1)), this.who), this.body.node, this.list, this.foot);
    this.node.ariaLabel = `${word("draft")} ${index + 1}`;
  }

  /** What stands there now: the box while it is open, then the lesson, then the draft. */
  get shown() {
    return this.box?.value ?? this.lesson?.text ?? this.text;
  }

  grow(blocks, from) {
    this.body.replace(from, blocks.slice(from));
    this.text = this.body.node.innerText.trim();
    this.check();
  }

  finish(address, text, model) {
    Object.assign(this, { address, text });
    this.node.classList.remove("running");
    this.who.textContent = model ? shortModel(model) : "";
    this.who.title = model ?? "";
    this.check();
  }

  /** Ask for the rules of what is shown, soon; only the newest question's answer counts. */
  check() {
    clearTimeout(this.timer);
    this.timer = setTimeout(async () => {
      const turn = ++this.asked, { brief } = this.drafts;
      try {
        const { constraints } = await this.app.api("POST", "/api/copywriting/check", { brief, text: this.shown });
        if (turn === this.asked) this.showRules(constraints);
      } catch (error) {
        console.warn(error);
      }
    }, CHECK_MS);
  }

  showRules(rules = this.rules) {
    if (!rules) return;
    this.rules = rules;
    this.node.dataset.broken = rules.filter((rule) => !rule.ok).length;
    this.list.replaceChildren(...rules.map((rule) => element("li", { class: rule.ok ? "kept" : "broken", data: { rule: rule.name } },
      icon(rule.ok ? "check" : "close"), element("span", { t: `rule_${rule.name}` }), element("span", { class: "unseen", t: rule.ok ? "rule_kept" : "rule_broken" }),
      element("span", { class: "found" }, describe(rule)))));
  }

  refresh() {
    const { outcome } = this.drafts, mine = outcome === String(this.index + 1);
    this.node.classList.toggle("won", mine);
    this.node.classList.toggle("lost", outcome !== null && outcome !== "=" && !mine);
    if (!this.address || this.box) return;
    const lesson = this.lesson && [icon("check"), element("span", { t: this.drafts.consent === "serve" ? "lesson_private" : "lesson_saved" }), element("button", { class: "link", t: "undo", onclick: () => this.undo() })];
    this.foot.replaceChildren(element("span", { class: "tools" }, tool("edit", "edit_draft", () => this.edit()), tool("copy", "copy_draft", () => this.copy())),
      ...(lesson ? [element("span", { class: "lesson" }, lesson)] : []));
  }

  async copy() {
    try {
      await copyText(this.shown);
      this.app.toast(word("copied"));
    } catch (error) {
      this.app.report(error);
    }
  }

  edit() {
    const close = () => {
      this.box = null;
      form.replaceWith(this.body.node);
      this.check();
      this.drafts.refresh();
      this.foot.querySelector("button")?.focus();
    };
    const { box, form } = makeEditor({
      text: this.shown, label: "edit_draft", maxLength: 2000, onsave: (save) => this.#keep(save, close), onclose: close, oninput: () => this.check(),
    });
    this.box = box;
    this.body.node.replaceWith(form);
    this.foot.replaceChildren();
    this.box.focus();
  }

  async #keep(save, close) {
    const text = this.box.value.trim();
    if (!text || text === (this.lesson?.text ?? this.text).trim()) return close();
    save.disabled = true;
    try {
      const result = await this.app.signal({ target: this.address, kind: "edit", value: text });
      this.lesson = { text, event: result.id };
      await this.#render(text);
      close();
      this.app.announce(word("lesson_saved"));
    } catch (error) {
      save.disabled = false;
      this.app.report(error);
    }
  }

  async undo() {
    try {
      await this.app.signal({ target: this.address, kind: "edit", value: null, supersedes: this.lesson.event });
      this.lesson = null;
      await this.#render(this.text);
    } catch (error) {
      this.app.report(error);
    }
    this.check();
    this.refresh();
    this.foot.querySelector("button")?.focus();
  }

  async #render(text) {
    const { blocks } = await this.app.api("POST", "/api/render", { text });
    this.body.replace(0, blocks);
  }
}

/** What was found beside what is wanted: "23 / 20" of a limit, "79, 59 → 59" of a price. */
function describe({ name, ok, found, wanted }) {
  if (name === "limit") return `${found} / ${wanted}`;
  if (name === "language") return "";
  return ok || !wanted ? found : found ? `${found} → ${wanted}` : wanted;
}
