// Two answers to one question, side by side: the reader chooses with 1, 2, = or 0. Blind where two models speak.

import { shortModel, targetOf } from "./answer.js";
import { Blocks } from "./blocks.js";
import { element, say } from "./dom.js";

export const VOTES = [["1", "vote_first"], ["2", "vote_second"], ["=", "vote_tie"], ["0", "vote_bad"]];

const modelOf = (message) => message.answer?.model ?? message.live?.model;

export class DuelView {
  constructor(chat, duel) {
    Object.assign(this, { chat, duel });
    this.node = element("article", { class: "duel", label: "two_answers", tabIndex: -1 });
    this.columns = duel.sides.map((_, i) => {
      const body = new Blocks(), who = element("span", { class: "who" });
      const node = element("section", { class: "side" }, element("header", {}, element("kbd", {}, String(i + 1)), who), body.node);
      node.ariaLabel = String(i + 1);
      return { body, who, node };
    });
    this.bar = element("p", { class: "votes", role: "group", label: "which_better" });
    this.node.append(element("div", { class: "sides" }, this.columns.map((column) => column.node)), this.bar);
    this.update();
  }

  get isReady() {
    return this.duel.sides.every((side) => !side.message.live);
  }

  update() {
    this.duel.sides.forEach((side, i) => {
      const { body, node } = this.columns[i], { message } = side;
      node.classList.toggle("running", Boolean(message.live));
      if (this.columns[i].shown === message) return;
      this.columns[i].shown = message;
      if (message.live) this.grow(message, 0);
      else body.replace(0, message.lesson?.html ?? message.html);
    });
    this.refresh();
  }

  /** New blocks of a running side. */
  grow(message, from) {
    const at = this.duel.sides.findIndex((side) => side.message === message);
    this.columns[at]?.body.replace(from, message.live.answers[message.index].blocks.slice(from));
  }

  refresh() {
    const { duel, columns, chat } = this, models = duel.sides.map((side) => modelOf(side.message));
    const known = duel.known || duel.outcome || models[0] === models[1];
    columns.forEach(({ who, node }, i) => {
      const model = models[i];
      who.textContent = known && model ? shortModel(model) : "";
      who.title = known && model ? model : "";
      node.classList.toggle("won", duel.outcome === String(i + 1));
      node.classList.toggle("lost", ["0", String(2 - i)].includes(duel.outcome));
    });
    if (duel.outcome) this.bar.replaceChildren(...this.#settled());
    else this.bar.replaceChildren(...VOTES.map(([key, t]) => this.#vote(key, t)), this.#button("skip", "link skip", () => chat.settle(duel)));
  }

  #vote(key, t) {
    return element("button", { class: "plain", data: { vote: key }, disabled: !this.isReady, onclick: () => this.vote(key) },
      element("kbd", {}, key), element("span", { t }));
  }

  #button(t, kind, onclick) {
    return element("button", { class: kind, t, onclick });
  }

  #settled() {
    const { chat, duel } = this, said = element("span", { class: "fine" });
    say(said, { 1: "voted_first", 2: "voted_second", "=": "voted_tie", 0: "voted_bad" }[duel.outcome]);
    const teach = duel.outcome === "0" && this.#button("teach_better", "primary", () => chat.settle(duel, { teach: true }));
    return [said, this.#button("undo", "link", () => this.undo()), teach, this.#button("go_on", "plain", () => chat.settle(duel))].filter(Boolean);
  }

  /** A key that is a vote. */
  key(event) {
    if (!this.node.isConnected) return;
    const key = event.key === "＝" ? "=" : event.key;
    if (!VOTES.some(([each]) => each === key) || this.duel.outcome || !this.isReady) return;
    event.preventDefault();
    this.vote(key);
  }

  /** One choice, one signal: the target is the winner, or for a tie and for both bad the first that was shown. */
  async vote(key) {
    const { duel, chat } = this, [winner, other] = key === "2" ? [...duel.sides].reverse() : duel.sides;
    const outcome = { "=": "tie", 0: "both_bad" }[key] ?? "win";
    this.bar.querySelectorAll("button").forEach((button) => (button.disabled = true));
    try {
      const value = { over: [targetOf(other.message)], outcome };
      const result = await chat.app.signal({ target: targetOf(winner.message), kind: "choice", value });
      Object.assign(duel, { outcome: key, event: result.id, target: targetOf(winner.message) });
      chat.tree.prefer(winner.message);
      chat.changed();
    } catch (error) {
      chat.app.report(error);
    }
    this.refresh();
    this.node.focus({ preventScroll: true });
  }

  /** Take the choice back; the names stay known. */
  async undo() {
    const { duel, chat } = this;
    try {
      await chat.app.signal({ target: duel.target, kind: "choice", value: null, supersedes: duel.event });
      Object.assign(duel, { outcome: null, event: null, known: true });
      chat.changed();
    } catch (error) {
      chat.app.report(error);
    }
    this.refresh();
    this.node.focus({ preventScroll: true });
  }
}
