// Dialogs: the browser's own, which keep the focus inside, close on Esc and give the focus back.

import { element, tool } from "./dom.js";

let opened = 0;

/** Open a dialog titled by the word `title`; returns the node, which removes itself when closed. */
export function openDialog(app, title, ...children) {
  // One may open over another, and each is named by its own heading.
  const id = `dialog-title-${++opened}`, heading = element("h2", { t: title, id });
  const dialog = element("dialog", { "aria-labelledby": id },
    element("header", {}, heading, tool("close", "close", () => dialog.close())),
    element("div", { class: "sheet" }, children));
  const before = document.activeElement;
  dialog.onclose = () => {
    dialog.remove();
    // The event comes a moment after the closing: who has gone on to write is not called back.
    if (document.activeElement === document.body) before?.focus?.();
  };
  // A press on the backdrop is a press on the dialog itself. (A handler that returned false would undo presses on what is inside.)
  dialog.onclick = (event) => void (event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Ask before something that cannot be undone: true when the reader says yes. */
export function confirmed(app, question, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const agree = element("button", { class: "primary", t: yes, onclick: () => ((answer = true), dialog.close()) });
    const dialog = openDialog(app, question, element("p", { class: "choices" },
      element("button", { class: "plain", t: "cancel", onclick: () => dialog.close() }), agree));
    dialog.classList.add("small");
    dialog.addEventListener("close", () => resolve(answer));
    agree.focus();
  });
}
