// Correcting an answer in place: what is saved is a lesson, and can be taken back.

import { targetOf } from "./answer.js";
import { diff } from "./diff.js";
import { element } from "./dom.js";
import { makeEditor } from "./editor.js";

const GLOW_MS = 2600;

/** Turn the answer into a box over `text`; saving makes it a lesson. */
export function openEditor(chat, view, text) {
  if (view.editing) return;
  view.editing = true;
  const close = () => {
    view.editing = false;
    chat.scroll.holding(view.node, () => {
      form.replaceWith(view.body.node);
      view.showText();
      view.refresh();
    });
    view.foot.querySelector("[data-label=edit_answer]")?.focus();
  };
  const { box, form } = makeEditor({
    text, label: "edit_answer", hint: "better_answer", maxLength: 20000, more: element("span", { class: "fine", t: "teach_hint" }),
    onsave: (save) => keep(chat, view, box, save, close), onclose: close,
  });
  box.oninput();
  chat.scroll.holding(view.node, () => {
    view.body.node.replaceWith(form);
    view.foot.replaceChildren();
    view.below.replaceChildren();
  });
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
}

async function keep(chat, view, box, save, close) {
  const { message } = view, before = message.lesson?.text ?? message.text, after = box.value.trim();
  if (!after || after === before.trim()) return close();
  save.disabled = true;
  try {
    const result = await chat.app.signal({ target: targetOf(message), kind: "edit", value: after });
    const { blocks } = await chat.app.api("POST", "/api/render", { text: after });
    // Another tab may have brought the message anew meanwhile: what stands now is the view's.
    view.message.lesson = { event: result.id, text: after, html: blocks };
    view.original = false;
    close();
    glow(chat, view, before, after);
    chat.app.announce(chat.app.word("lesson_saved"));
    chat.changed();
  } catch (error) {
    save.disabled = false;
    chat.app.report(error);
  }
}

/** What changed, shining once; then the answer as it now reads. */
function glow(chat, view, before, after) {
  const tags = { same: "span", out: "del", in: "ins" };
  const shown = element("div", { class: "glow" }, diff(before, after).map(({ kind, text }) => element(tags[kind], {}, text)));
  chat.scroll.holding(view.node, () => view.body.node.replaceChildren(shown));
  setTimeout(() => {
    if (shown.isConnected) chat.scroll.holding(view.node, () => view.showText());
  }, GLOW_MS);
}

/** Take the lesson back: the answer stands as the model gave it. */
export async function undo(chat, view) {
  const { message } = view, lesson = message.lesson;
  try {
    await chat.app.signal({ target: targetOf(message), kind: "edit", value: null, supersedes: lesson.event });
    view.message.lesson = null;
    chat.scroll.holding(view.node, () => {
      view.showText();
      view.refresh();
    });
    view.below.append(element("p", { class: "lesson" }, element("span", { t: "taken_back" })));
    view.foot.querySelector("[data-label=edit_answer]")?.focus();
    chat.changed();
  } catch (error) {
    chat.app.report(error);
  }
}
