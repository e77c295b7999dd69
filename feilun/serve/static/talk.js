// The conversation that is open: its tree, what is running in it, and how it is shown.

import { targetOf } from "./answer.js";
import { Running } from "./running.js";
import { Tree } from "./tree.js";

const OTHER_TEMPERATURE = 0.8;

let shapes = null;

/** What only a conversation needs: loaded with the first one, not with the page. */
export async function loadShapes() {
  shapes ??= Promise.all([import("./message.js"), import("./duel.js"), import("./teach.js")]).then(([message, duel, teach]) => ({ ...message, ...duel, ...teach }));
  return shapes;
}

export class Talk {
  constructor(app, log) {
    Object.assign(this, { app, log, id: null, started: false, views: new Map(), tabs: new BroadcastChannel("feilun") });
    this.tabs.onmessage = ({ data }) => this.#told(data);
    this.#blank(null);
  }

  /** The parts that need the conversation, made after it. */
  join(parts) {
    Object.assign(this, parts);
  }

  #blank(id) {
    this.running?.leave();
    this.id = id;
    this.tree = new Tree(id);
    this.running = new Running(this);
    this.views.clear();
    this.log.replaceChildren();
  }

  get isBusy() {
    return this.running.lives.size > 0;
  }

  get isReady() {
    return this.app.status?.state === "ready";
  }

  // --- opening

  /** Open a conversation, or a new one for null, at a message if one is named. */
  async open(id, address = null) {
    this.started = true;
    if (id !== this.id || !id) {
      this.#blank(id);
      this.composer.open(id);
      this.render();
    }
    if (id && !(await this.#fetch(address))) return;
    this.history.mark();
    const found = address && this.views.get(address)?.node;
    if (found) this.#flash(found);
    else if (!address) this.scroll.toEnd();
  }

  /** What the server knows of the conversation; false when something else was opened meanwhile, or it is gone. */
  async #fetch(address = null) {
    const { tree } = this;
    try {
      const [thread] = await Promise.all([this.app.api("GET", `/api/threads/${encodeURIComponent(this.id)}`), this.#shape()]);
      if (tree !== this.tree) return false;
      const first = !tree.nodes.size;
      for (const message of thread.messages) tree.add(message);
      if (first || address) tree.choose(address ?? thread.running.at(-1)?.parent ?? thread.tip);
      if (first) this.composer.recall(thread.consent);
      for (const running of thread.running) this.running.attach(running);
      this.render();
      return true;
    } catch (error) {
      if (tree !== this.tree) return false;
      if (error.status === 404) this.app.show("chat", "", { replace: true });
      this.app.report(error.status === 404 ? new Error(this.app.word("gone")) : error);
      return false;
    }
  }

  #flash(node) {
    this.scroll.to(node);
    node.classList.add("found");
    setTimeout(() => node.classList.remove("found"), 2400);
  }

  /** Go to a conversation by the address of the page. */
  go(id, address = null) {
    const here = location.hash === (id ? `#chat/${id}` : "#chat");
    if (!here) this.wanted = address;
    this.app.show("chat", id ?? "");
    if (here) this.open(id, address);
    this.composer.focusIfRoom();
  }

  /** The shell shows this view at `rest` of the address. */
  shown(rest) {
    const id = rest ? decodeURIComponent(rest) : null, address = this.wanted;
    this.wanted = null;
    if (id !== this.id || address || !this.started) this.open(id, address);
  }

  forgotten(id) {
    this.tabs.postMessage({ forgotten: id });
    if (id === this.id) this.app.show("chat");
  }

  /** Another tab changed something. */
  #told({ thread, forgotten }) {
    this.history.load();
    if (forgotten && forgotten === this.id) this.app.show("chat", "", { replace: true });
    if (thread && thread === this.id) this.#fetch();
  }

  /** Something of this conversation is new in the store: other tabs are told. */
  changed() {
    if (this.id) this.tabs.postMessage({ thread: this.id });
  }

  // --- asking

  /** A question under `parent`, by default under the last answer; true once the server has it. */
  async ask(text, parent = this.#tip()) {
    const { model, beside } = this.picker;
    const asked = await this.#post({ parent: parent === this.id ? null : parent, text, model, temperature: 0 });
    if (!asked) return false;
    if (beside) this.#post({ parent: asked.question, model: beside, temperature: 0 });
    return true;
  }

  /** Another answer to the same question, beside the one that is there. */
  async another(message) {
    const model = await this.picker.another();
    if (!model || this.mustWait()) return;
    const asked = await this.#post({ parent: message.parent, model, temperature: OTHER_TEMPERATURE }, message);
    if (asked) await this.app.signal({ target: targetOf(message), kind: "implicit", value: { name: "regenerate", n: 1 } }).catch(this.app.report);
  }

  retry(message) {
    return this.#post({ parent: message.parent, model: this.picker.model, temperature: 0 });
  }

  /** `beside`: the answer that the new one is to be compared with, by default the newest to that question. */
  async #post(body, beside) {
    const { tree } = this;
    try {
      await this.#shape();
      const made = await this.app.api("POST", "/api/chat", { thread_id: this.id, n: 1, consent: this.composer.level, ...body });
      this.history.load();
      if (tree !== this.tree) return made;
      if (!this.id) this.#named(made.thread_id);
      if (body.text) {
        // Who goes on leaves a comparison undecided; it must not stand in front of the new question.
        this.running.duels.delete(this.tree.nodes.get(body.parent)?.parent);
        this.tree.add({ address: made.question, parent: body.parent ?? this.id, role: "user", text: body.text, html: [], at: Date.now() / 1000 });
        this.tree.choose(made.question);
      }
      this.running.attach({ id: made.id, parent: made.question, num_answers: made.num_answers }, { beside, model: this.picker.refOf(body.model) });
      this.render();
      this.scroll.toEnd();
      this.changed();
      return made;
    } catch (error) {
      this.app.report(error);
      return null;
    }
  }

  #named(id) {
    this.id = id;
    this.tree.root = id;
    this.composer.rename(id);
    this.app.show("chat", id, { replace: true });
  }

  /** Whether an answer is running, after which this is to be done again; that is said. */
  mustWait() {
    if (this.isBusy) this.app.toast(this.app.word("still_answering"));
    return this.isBusy;
  }

  /** Where the next question goes: under the last answer that says something. Beside a question that got none, and not under it. */
  #tip() {
    const answers = this.tree.path().filter((message) => message.role === "assistant" && (message.text || message.lesson));
    return answers.at(-1)?.address ?? this.id;
  }

  /** Stop everything that runs here; what was seen stays. */
  stop() {
    return Promise.all([...this.running.lives.values()].map((live) => live.stop().catch(this.app.report)));
  }

  // --- choosing

  /** Another sibling; the button `focus` of its pager takes the focus. */
  choose(address, focus) {
    this.tree.choose(address);
    this.render();
    const view = this.views.get(address);
    const button = view?.node.querySelector(`.pager [data-label=${focus}]:not(:disabled)`) ?? view?.node.querySelector(".pager button:not(:disabled)");
    button?.focus();
  }

  /** The comparison is over: on with the chosen answer. */
  settle(duel, { teach = false } = {}) {
    this.running.duels.delete(duel.question);
    this.render();
    const last = this.views.get(this.tree.path().at(-1)?.address);
    if (teach) last?.edit("");
    else this.composer.focus();
  }

  /** The last answer that is shown, if it is whole. */
  lastAnswer() {
    const last = this.tree.path().at(-1);
    return last?.answer ? this.views.get(last.address) : null;
  }

  /** 1, 2, = and 0 reach the comparison from anywhere but a box. */
  voteBy(event) {
    for (const { question } of this.running.duels.values()) this.views.get(`duel/${question}`)?.key(event);
  }

  // --- showing

  #shown() {
    const { duels, failures } = this.running, path = this.tree.path(), shown = [];
    for (const message of path) {
      const duel = message.role === "assistant" && duels.get(message.parent);
      if (duel && (!duel.outcome || message === path.at(-1))) return [...shown, { key: `duel/${duel.question}`, duel }];
      shown.push({ key: message.address, message });
    }
    const last = path.at(-1);
    if (last?.role === "user") shown.push({ key: `failure/${last.address}`, message: { parent: last.address, failure: failures.get(last.address) ?? "" } });
    return shown;
  }

  async #shape() {
    this.shapes ??= await loadShapes();
  }

  #make({ duel, message }) {
    if (duel) return new this.shapes.DuelView(this, duel);
    if (message.failure !== undefined) return new this.shapes.FailureView(this, message);
    return message.role === "user" ? new this.shapes.QuestionView(this, message) : new this.shapes.AnswerView(this, message);
  }

  /** Bring the page to what the tree says; what is already there stays as it is. */
  render() {
    const nodes = this.#shown().map((entry) => {
      const known = this.views.get(entry.key);
      if (!known) this.views.set(entry.key, this.#make(entry));
      else known.update(entry.message);
      return this.views.get(entry.key).node;
    });
    const wanted = new Set(nodes);
    for (const child of [...this.log.children]) if (!wanted.has(child)) child.remove();
    nodes.forEach((node, i) => this.log.children[i] !== node && this.log.insertBefore(node, this.log.children[i] ?? null));
    this.onrender?.(nodes.length > 0);
    this.scroll?.keep();
  }
}
