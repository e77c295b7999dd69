// One message of the conversation: a question, or an answer with everything that can be said about it.

import { isUntaught, shortModel, targetOf } from "./answer.js";
import { Blocks } from "./blocks.js";
import { element, icon, say, tool } from "./dom.js";
import { copyText, reasonsRow, thumbs } from "./marks.js";
import { openEditor, undo } from "./teach.js";

/** ‹ 2/3 ›, where a message has siblings. */
function pager(chat, message) {
  const siblings = chat.tree.siblingsOf(message), at = siblings.indexOf(message);
  if (siblings.length < 2) return null;
  const turn = (step) => () => chat.choose(siblings[at + step].address, step < 0 ? "before" : "after");
  return element("span", { class: "pager", role: "group", label: "siblings" },
    tool("left", "before", turn(-1), { disabled: at === 0 }),
    element("span", {}, `${at + 1}/${siblings.length}`),
    tool("right", "after", turn(1), { disabled: at === siblings.length - 1 }));
}

export class QuestionView {
  constructor(chat, message) {
    this.chat = chat;
    this.node = element("article", { class: "mine", label: "you" });
    this.update(message);
  }

  update(message) {
    const siblings = this.chat.tree.siblingsOf(message), stamp = `${siblings.indexOf(message)}/${siblings.length}`;
    this.message = message;
    if (!this.editing && stamp !== this.stamp) this.#show();
    this.stamp = stamp;
  }

  #show() {
    const { message, chat } = this;
    this.editing = false;
    this.node.replaceChildren(
      element("div", { class: "text" }, message.text),
      element("footer", {}, element("span", { class: "tools" }, tool("edit", "edit_question", () => this.edit())), pager(chat, message)));
  }

  edit() {
    const { message, chat } = this;
    this.editing = true;
    const close = () => {
      this.#show();
      this.node.querySelector(".tools button").focus();
    };
    const send = async () => {
      const text = box.value.trim();
      if (!text || text === message.text) return close();
      if (!(await chat.ask(text, message.parent))) return;
      this.#show();
      chat.composer.focus();
    };
    const box = element("textarea", { class: "text", value: message.text, label: "edit_question", maxLength: 8000 });
    box.onkeydown = (event) => {
      if (event.key === "Escape") event.stopPropagation(), close();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) event.preventDefault(), send();
    };
    this.node.replaceChildren(box, element("p", { class: "choices" },
      element("button", { class: "plain", t: "cancel", onclick: close }), element("button", { class: "primary", t: "send", onclick: send })));
    box.focus();
  }
}

export class AnswerView {
  constructor(chat, message) {
    this.chat = chat;
    this.node = element("article", { class: "theirs", label: "model" });
    this.body = new Blocks((text, button) => this.copy(text, button));
    this.foot = element("footer");
    this.below = element("div", { class: "below" });
    this.node.append(this.body.node, this.foot, this.below);
    this.update(message);
  }

  /** Take the message as it is now: still running, finished, marked, taught. */
  update(message) {
    const first = this.message === undefined, was = this.message?.lesson?.event;
    this.message = message;
    this.node.classList.toggle("running", Boolean(message.live));
    this.node.ariaBusy = String(Boolean(message.live));
    if (message.live) return void (first && this.grow(0));
    if (first || was !== message.lesson?.event) this.showText();
    const stamp = this.#stamp();
    if (stamp !== this.stamp) this.refresh();
    this.stamp = stamp;
  }

  /** What the lines below the text depend on; a long conversation is not built again for one new message. */
  #stamp() {
    const { message } = this, siblings = this.chat.tree.siblingsOf(message);
    return [siblings.indexOf(message), siblings.length, message.thumb, message.reasons, message.lesson?.event, message.answer.id].join();
  }

  /** New blocks of a running answer, from `from` on. */
  grow(from) {
    this.body.replace(from, this.message.live.answers[this.message.index].blocks.slice(from));
  }

  /** The lesson where there is one, unless the original is asked for. */
  showText() {
    const { message } = this;
    const html = message.lesson && !this.original ? message.lesson.html : message.html;
    this.body.replace(0, html);
    this.node.classList.toggle("taught", Boolean(message.lesson) && !this.original);
  }

  refresh() {
    if (this.editing) return;
    const { chat, message } = this;
    this.marks ??= thumbs(chat, this);
    this.marks.show();
    this.foot.replaceChildren(
      pager(chat, message) ?? "",
      element("span", { class: "tools" },
        tool("copy", "copy_answer", (event) => this.copy(message.lesson?.text ?? message.text, event.currentTarget)), ...this.marks.buttons,
        tool("edit", "edit_answer", () => this.edit()),
        tool("again", "another", (event) => chat.another(message, event.currentTarget)),
        tool("eye", "saw", () => import("./inspect.js").then((m) => m.inspect(chat, message)).catch(chat.app.report))),
      element("span", { class: "who", title: message.answer.model }, shortModel(message.answer.model)),
      this.#ending() ?? "");
    this.below.replaceChildren(...[this.#untaught(), reasonsRow(chat, this), this.#lesson()].filter(Boolean));
  }

  #ending() {
    const t = { length: "cut", abort: this.message.text ? "stopped" : "no_answer" }[this.message.answer.finish_reason];
    return t && element("span", { class: "fine", t });
  }

  #untaught() {
    if (this.message.lesson || !isUntaught(this.message.text)) return null;
    const open = element("button", { class: "primary teach", onclick: () => this.edit("") }, icon("teach"), element("span", { t: "teach_me" }));
    return element("p", {}, open);
  }

  /** "saved as a lesson · undo · the first answer" */
  #lesson() {
    if (!this.message.lesson) return null;
    const back = element("button", { class: "link", t: "undo", onclick: () => undo(this.chat, this) });
    const original = element("button", { class: "link", onclick: () => this.#flip() });
    say(original, this.original ? "show_lesson" : "show_original");
    const { model, consent } = this.message.answer;
    const said = consent === "serve" ? "lesson_private" : this.chat.picker.mayTeach(model) ? "lesson_saved" : "lesson_withheld";
    return element("p", { class: "lesson" }, icon("check"), element("span", { t: said }), back, original);
  }

  #flip() {
    this.original = !this.original;
    this.showText();
    this.refresh();
    this.below.querySelector(".lesson .link:last-child")?.focus();
  }

  async copy(text, button) {
    const { chat, message } = this;
    try {
      await copyText(text);
      button.replaceChildren(icon("check"));
      setTimeout(() => button.replaceChildren(icon("copy")), 1500);
      if (message.answer) await chat.app.signal({ target: targetOf(message), kind: "implicit", value: { name: "copy", n: 1 } });
    } catch (error) {
      chat.app.report(error);
    }
  }

  /** Correct the answer in place, starting from `text` or from what stands there. */
  edit(text) {
    openEditor(this.chat, this, text ?? this.message.lesson?.text ?? this.message.text);
  }
}

/** An answer that did not come. */
export class FailureView {
  constructor(chat, message) {
    this.node = element("article", { class: "theirs failed", label: "model" },
      element("p", {}, element("span", { t: message.failure ? "failed" : "no_answer" }), message.failure),
      element("p", {}, element("button", { class: "plain", t: "try_again", onclick: () => chat.retry(message) })));
  }

  update() {}
}
