// The keys of the page, in a dialog.

import { openDialog } from "./dialog.js";

const KEYS = [
  ["Enter", "key_send"],
  ["Shift Enter", "key_break"],
  ["Esc", "key_stop"],
  ["/", "key_box"],
  ["Ctrl K", "key_search"],
  ["1 · 2 · = · 0", "key_choose"],
  ["E", "key_edit"],
  ["?", "key_help"],
];

export function showHelp(app) {
  const rows = KEYS.map(([keys, meaning]) => app.element("div", {},
    app.element("dt", {}, ...keys.split(" ").map((key) => (key === "·" ? " " : app.element("kbd", {}, key)))),
    app.element("dd", { t: meaning })));
  openDialog(app, "help", app.element("dl", { class: "keys" }, rows));
}
