// What is running in the open conversation: each answer stands in the tree while it grows, and two to one question are compared.

import { Live } from "./live.js";

const SAID_CHARS = 600;

/** Two messages under one question; a running one has `live`. `shuffle`: either may stand on the left. */
function makeDuel(question, messages, shuffle) {
  const sides = messages.map((message) => ({ message }));
  if (shuffle && Math.random() < 0.5) sides.reverse();
  return { question, sides, event: null, outcome: null, known: false };
}

export class Running {
  lives = new Map();
  duels = new Map();
  failures = new Map();

  constructor(talk) {
    this.talk = talk;
    this.tree = talk.tree;
    this.app = talk.app;
  }

  /** Stop reading everything; it goes on without us. */
  leave() {
    for (const live of this.lives.values()) live.leave();
  }

  /**
   * Follow a generation {id, parent, num_answers}; `model` is the ref that will speak, where that is known. Beside an answer
   * that is there already (`beside`, or the newest) it becomes a comparison.
   */
  attach(running, { beside, model, consent = this.talk.composer.level } = {}) {
    if (this.lives.has(running.id)) return;
    const live = new Live(running, this.app, { update: this.#grown, lost: this.#lost, end: this.#ended, fail: this.#failed });
    live.consent = consent;
    this.lives.set(live.id, live);
    this.failures.delete(live.parent);
    const other = beside ?? this.tree.childrenOf(live.parent).at(-1);
    live.messages = live.answers.map(({ key, index }) => this.tree.add({ address: key, parent: live.parent, role: "assistant", at: Infinity, live, index }));
    if (other && live.messages.length === 1) {
      // An answer that was just read keeps its side, unless another model speaks now: then neither side shall be known by its place.
      const shuffle = !other.answer || (model && model !== other.answer.model);
      this.duels.set(live.parent, makeDuel(live.parent, [other, live.messages[0]], shuffle));
      this.talk.views.delete(`duel/${live.parent}`);
    }
    this.tree.prefer(live.messages[0]);
    live.follow();
    this.talk.composer.refresh();
  }

  #grown = (live, index, from) => {
    const message = live.messages[index], duel = this.talk.views.get(`duel/${live.parent}`);
    if (!duel?.node.isConnected) return this.talk.views.get(message.address)?.grow(from);
    duel.grow(message, from);
    if (from === 0) duel.refresh();
  };

  #lost = (live, lost) => this.talk.log.classList.toggle("cut-off", lost && !live.ended);

  #ended = (live, { answers, seconds }) => {
    for (const answer of answers) this.#finish(live, live.messages[answer.index], answer, seconds);
    this.#over(live);
  };

  #finish(live, running, { index, address, text, finish_reason, num_tokens }, seconds) {
    const { tree, talk } = this, known = tree.nodes.get(address), chosen = tree.chosen.get(running.parent) === running.address;
    const answer = { id: live.id, index, model: live.model, engine: live.engine, finish_reason, num_tokens, seconds, consent: live.consent };
    const message = known ?? { address, parent: running.parent, role: "assistant", text, html: live.answers[index].blocks, at: Date.now() / 1000, answer, thumb: 0, reasons: [], lesson: null };
    tree.remove(running.address);
    tree.add(message);
    if (chosen) tree.prefer(message);
    const view = talk.views.get(running.address);
    talk.views.delete(running.address);
    if (view && !known) talk.views.set(address, view);
    this.#fill(running, message);
    this.app.announce(text.slice(0, SAID_CHARS));
  }

  /** A side of a comparison is whole; two that say the same are no comparison. */
  #fill(running, message) {
    const duel = this.duels.get(running.parent), side = duel?.sides.find((each) => each.message === running);
    if (!side) return;
    side.message = message;
    if (duel.sides[0].message.address !== duel.sides[1].message.address) return;
    this.duels.delete(running.parent);
    this.app.toast(this.app.word("same_again"));
  }

  #failed = (live, message) => {
    for (const running of live.messages) this.tree.remove(running.address);
    this.duels.delete(live.parent);
    if (this.tree.childrenOf(live.parent).length) this.app.report(new Error(message));
    else this.failures.set(live.parent, message);
    this.#over(live);
  };

  #over(live) {
    this.lives.delete(live.id);
    this.#lost(live, false);
    this.talk.render();
    this.talk.composer.refresh();
    this.talk.changed();
    this.talk.history.load();
    const duel = this.talk.views.get(`duel/${live.parent}`);
    if (duel?.node.isConnected && duel.isReady && !this.talk.composer.box.value) duel.node.focus({ preventScroll: true });
  }
}
