// Small signals under an answer: thumbs with their reasons, and copying.

import { targetOf } from "./answer.js";
import { element, icon } from "./dom.js";

const REASONS = ["wrong", "language", "too_long", "too_short", "style", "unsafe", "made_up", "other"];

export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Outside loopback without https there is no clipboard, only the old way.
  const box = element("textarea", { class: "unseen", value: text });
  document.body.append(box);
  box.select();
  const done = document.execCommand("copy");
  box.remove();
  if (!done) throw new Error("clipboard");
}

/** Record thumb and reasons as they shall be now; when that fails, they are as they were. */
async function mark(chat, view, thumb, reasons) {
  const { message } = view, before = { thumb: message.thumb, reasons: message.reasons };
  Object.assign(message, { thumb, reasons });
  view.refresh();
  try {
    await chat.app.signal({ target: targetOf(message), kind: "thumb", value: thumb, ...(reasons.length && { reason: reasons }) });
    chat.changed();
  } catch (error) {
    Object.assign(view.message, before);
    view.refresh();
    chat.app.report(error);
  }
}

/** The two thumbs of an answer: {buttons, show}. */
export function thumbs(chat, view) {
  const make = (vote, name) => element("button", {
    class: "tool", label: name, "aria-pressed": "false", data: { vote },
    onclick: () => {
      const thumb = view.message.thumb === vote ? 0 : vote;
      view.asking = thumb === -1;
      mark(chat, view, thumb, []);
    },
  }, icon(name));
  const buttons = [make(1, "good"), make(-1, "bad")];
  const show = () => buttons.forEach((button) => (button.ariaPressed = String(view.message.thumb === Number(button.dataset.vote))));
  return { buttons, show };
}

/** What was wrong with it, one tap each; only after a thumb down. */
export function reasonsRow(chat, view) {
  const { message } = view;
  if (message.thumb !== -1 || !(view.asking || message.reasons.length)) return null;
  const chips = REASONS.map((reason) => {
    const on = message.reasons.includes(reason);
    return element("button", {
      class: "reason", t: `reason_${reason}`, "aria-pressed": String(on), data: { reason },
      onclick: async () => {
        view.asking = true;
        await mark(chat, view, -1, on ? message.reasons.filter((each) => each !== reason) : [...message.reasons, reason]);
      },
    });
  });
  return element("p", { class: "reasons", role: "group", label: "why_bad" }, chips);
}
