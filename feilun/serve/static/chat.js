// The chat view: conversations on the left, the open one in the middle, the box below.

import { Composer } from "./composer.js";
import { element } from "./dom.js";
import { History } from "./history.js";
import { Picker } from "./picker.js";
import { Scroll } from "./scroll.js";
import { Talk } from "./talk.js";

const STARTERS = ["9.11 和 9.8 哪个大?", "Which is larger, 9.11 or 9.8?", "3 + 4 = ?"];

let app = null;
let talk = null;
let empty = null;

export function mount(root, shell) {
  app = shell;
  const inside = element("div", { class: "inside" });
  const log = element("div", { id: "log", role: "region", label: "conversation", tabIndex: 0 }, inside);
  const down = element("button", { class: "round down", label: "to_end", hidden: true, onclick: () => talk.scroll.toEnd() }, app.icon("down"));
  empty = element("div", { class: "empty" }, element("h1", { t: "empty" }), element("p", { t: "empty_more" }),
    element("p", { class: "fine", t: "what_i_know" }), element("div", { class: "starters" }));
  talk = new Talk(app, inside);
  const picker = new Picker(talk), composer = new Composer(talk, picker), history = new History(talk);
  talk.join({ picker, composer, history, scroll: new Scroll(log, inside, (stuck) => (down.hidden = stuck)), onrender: (some) => (empty.hidden = some) });
  log.append(empty);
  root.append(history.node, history.shade, element("div", { class: "talk" }, log, element("div", { class: "foot" }, down, composer.node, element("p", { class: "hint", t: "hint" }))));
  document.addEventListener("keydown", keys);
  history.load();
}

export function onShow(rest) {
  talk.shown(rest);
  talk.composer.focusIfRoom();
}

export function onStatus(status) {
  talk.picker.show();
  talk.composer.refresh();
  const ready = status.state === "ready", wanted = status.progress?.starters?.length ? status.progress.starters : STARTERS;
  empty.querySelector("h1").dataset.t === (ready ? "empty" : "no_model") || app.say(empty.querySelector("h1"), ready ? "empty" : "no_model");
  app.say(empty.querySelector("p"), ready ? "empty_more" : "no_model_more");
  const chips = empty.querySelector(".starters"), stamp = JSON.stringify([ready, wanted]);
  if (chips.dataset.shown === stamp) return;
  chips.dataset.shown = stamp;
  empty.querySelector(".fine").hidden = !ready;
  chips.replaceChildren(...(ready ? wanted : []).map((text) => element("button", { class: "chip", onclick: () => talk.ask(text) }, text)));
}

export function onLanguage() {
  talk.picker.show();
  talk.history.show();
  talk.composer.setConsent(talk.composer.level);
}

function keys(event) {
  const chatting = document.body.dataset.view === "chat", open = document.querySelector("dialog[open]");
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !open) {
    event.preventDefault();
    if (!chatting) app.show("chat", talk.id ?? "");
    return talk.history.focusSearch();
  }
  if (event.ctrlKey || event.metaKey || event.altKey || open) return;
  if (event.key === "Escape" && chatting) return talk.history.isOver ? talk.history.drawer(false) : talk.stop();
  if (event.target.matches?.("textarea, input, select")) return;
  if (event.key === "/") {
    event.preventDefault();
    if (!chatting) app.show("chat", talk.id ?? "");
    talk.composer.focus();
  } else if (chatting && event.key.toLowerCase() === "e") {
    const view = talk.lastAnswer();
    if (view) event.preventDefault(), view.edit();
  } else if (chatting) talk.voteBy(event);
}
