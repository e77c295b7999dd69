// A question and two answers, blind, one after the other: 1, 2, = or 0 says which is better. Nothing here knows whose answers they are.

import { Blocks } from "./blocks.js";
import { element, fill, say } from "./dom.js";
import { VOTES } from "./duel.js";

const LOOK_MS = 1500;
const OUTCOMES = { 1: "first", 2: "second", "=": "tie", 0: "both_bad" };
const SAID = { 1: "voted_first", 2: "voted_second", "=": "voted_tie", 0: "voted_bad" };

export class Judge {
  /**
   * `take()` gives {task, looking}, `give(body)` records a judgement, `told(models)` is what is shown of them afterwards ("" keeps them
   * unnamed), `changed()` is called after each, `report(error)` says what went wrong.
   */
  constructor(calls) {
    Object.assign(this, { calls, task: null, outcome: null, count: 0, timer: 0, busy: false });
    this.place = element("div");
    this.status = element("p", { class: "fine", role: "status" });
    this.node = element("div", { class: "judge", tabIndex: -1 }, this.place, this.status);
  }

  /** The next task; while the server looks for some, again in a while. */
  async next() {
    clearTimeout(this.timer);
    this.outcome = null;
    try {
      const { task, looking } = await this.calls.take();
      this.task = task;
      if (!task && looking) this.timer = setTimeout(() => this.next(), LOOK_MS);
      this.#show(looking);
    } catch (error) {
      this.calls.report(error);
    }
  }

  leave() {
    clearTimeout(this.timer);
  }

  /** A key that is a vote, or goes on after one. */
  key(event) {
    const key = event.key === "＝" ? "=" : event.key, typing = event.target.matches?.("textarea, input, select");
    if (!this.task || typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (this.outcome && key === "Enter" && !event.target.matches?.("button")) this.next();
    else if (!this.outcome && OUTCOMES[key]) this.vote(key);
    else return;
    event.preventDefault();
  }

  async vote(key) {
    if (this.busy) return;
    const result = await this.#give({ task: this.task.id, outcome: OUTCOMES[key] });
    if (!result) return;
    this.count += 1;
    Object.assign(this, { outcome: key, event: result });
    this.sides.forEach((side, i) => {
      side.classList.toggle("won", key === String(i + 1));
      side.classList.toggle("lost", ["0", String(2 - i)].includes(key));
      side.querySelector(".who").textContent = result.models ? this.calls.told(result.models[i]) : "";
    });
    const said = element("span", { class: "fine" });
    say(said, SAID[key]);
    this.bar.replaceChildren(said, element("button", { class: "link", t: "undo", onclick: () => this.undo() }),
      ...(this.calls.extra?.(this) ?? []), element("button", { class: "primary", t: "judge_next", onclick: () => this.next() }));
    this.#after();
  }

  async undo() {
    const { id, target } = this.event;
    if (!(await this.#give({ task: this.task.id, outcome: "undo", supersedes: id, target }))) return;
    this.count -= 1;
    this.outcome = null;
    this.#show(false);
    this.#after();
  }

  /** The language changed. */
  speak() {
    this.status.textContent = this.count ? fill("judged_now", { n: this.count }) : "";
  }

  async #give(body) {
    this.busy = true;
    try {
      return await this.calls.give(body);
    } catch (error) {
      this.calls.report(error);
      return null;
    } finally {
      this.busy = false;
    }
  }

  #after() {
    this.speak();
    this.node.focus({ preventScroll: true });
    this.calls.changed();
  }

  #show(looking) {
    if (!this.task) {
      this.place.replaceChildren(element("p", { class: "nothing", t: looking ? "judge_looking" : "judge_nothing" }));
      return;
    }
    const said = this.task.messages.map(({ role, blocks }) => {
      const body = new Blocks();
      body.replace(0, blocks);
      return element("div", { class: role === "user" ? "asked" : "said" }, body.node);
    });
    this.sides = this.task.answers.map((blocks, i) => {
      const body = new Blocks();
      body.replace(0, blocks);
      const name = element("header", {}, element("kbd", {}, String(i + 1)), element("span", { class: "who" }));
      return element("section", { class: "side", "aria-label": String(i + 1) }, name, body.node);
    });
    this.bar = element("p", { class: "votes", role: "group", label: "which_better" }, VOTES.map(([key, t]) =>
      element("button", { class: "plain", data: { vote: key }, onclick: () => this.vote(key) }, element("kbd", {}, key), element("span", { t }))));
    this.place.replaceChildren(...said, element("div", { class: "sides" }, this.sides), this.bar);
  }
}
