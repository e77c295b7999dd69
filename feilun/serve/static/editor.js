// A box in which an answer is corrected: Ctrl+Enter saves, Escape leaves it.

import { element } from "./dom.js";

/** {box, form}. `onsave(button)` saves, `onclose()` leaves, `oninput()` is told of every change; `more` stands before the buttons. */
export function makeEditor({ text, label, hint, maxLength, more = null, onsave, onclose, oninput = () => {} }) {
  const box = element("textarea", { class: "editor", value: text, label, hint, maxLength });
  const save = element("button", { class: "primary", t: "save_lesson", onclick: () => onsave(save) });
  const buttons = element("p", { class: "choices" }, more, element("button", { class: "plain", t: "cancel", onclick: () => onclose() }), save);
  box.oninput = () => ((save.disabled = !box.value.trim()), oninput());
  box.onkeydown = (event) => {
    if (event.key === "Escape") event.stopPropagation(), onclose();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) event.preventDefault(), save.click();
  };
  return { box, form: element("div", { class: "teaching" }, box, buttons) };
}
