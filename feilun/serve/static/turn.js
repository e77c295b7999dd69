// The Turn in the bar: how many lessons wait, how far a turn is, and the way to the panel. One look at the wheel serves everybody.

import { element, fill, icon, word } from "./dom.js";

const LOOK_MS = 500;

let app = null, button = null, timer = 0, looking = null;
let ended; // what the last turn was at the first look; undefined before it
const watchers = new Set();

/** The newest answer of /api/turn, null before the first. */
export const wheel = { state: null };

export function mount(root, shell) {
  app = shell;
  button = element("button", { class: "tool turn-button", title: word("turn_panel"), onclick: open }, icon("turn"), element("span", {}, word("turn")), " ", element("b"));
  root.append(button);
  return look();
}

/** Ask anew; whoever called `watch` is told. Several calls at once are one. */
export function look() {
  looking ??= ask().finally(() => (looking = null));
  return looking;
}

async function ask() {
  try {
    wheel.state = await app.api("GET", "/api/turn");
  } catch (error) {
    return; // the shell says that the server is lost
  }
  show();
  tell();
  for (const watcher of watchers) watcher(wheel.state);
  clearTimeout(timer);
  if (wheel.state.state !== "idle") timer = setTimeout(look, LOOK_MS);
}

export const onStatus = look;

export function onLanguage() {
  if (wheel.state) show();
  for (const watcher of watchers) watcher(wheel.state);
}

/** Call `watcher(state)` with every new state; the function that is returned ends it. */
export function watch(watcher) {
  watchers.add(watcher);
  if (wheel.state) watcher(wheel.state);
  return () => watchers.delete(watcher);
}

/** The panel inside `root`, for whoever shows it in a place of their own. */
export async function mountTurn(root, shell) {
  app ??= shell;
  const [panel] = await Promise.all([import("./turning.js"), app.everyWord(), app.load("turning.css")]);
  panel.fillPanel(root, app);
  return look();
}

async function open() {
  try {
    const [panel] = await Promise.all([import("./turning.js"), app.everyWord(), app.load("turning.css")]);
    panel.openPanel(app);
  } catch (error) {
    app.report(error);
  }
}

function show() {
  if (!button) return;
  const { state, lessons, turn } = wheel.state, running = state === "running" && turn.alive, [, text, number] = button.children;
  button.dataset.state = running ? "running" : state;
  text.textContent = word(running || state === "asked" ? "turn_now" : "turn");
  number.textContent = running && turn.total ? `${Math.round((100 * turn.done) / turn.total)} %` : state === "idle" && lessons.new ? lessons.new : "";
  // What is to be seen is the button's name; this tells more of it.
  button.title = running ? word("turn_is_running") : lessons.new ? fill("turn_new", { n: lessons.new }) : word("turn_panel");
}

/** A turn that ended while the page was open is told, wherever its reader is. */
function tell() {
  const { last } = wheel.state, now = last ? `${last.turn} ${last.at}` : "";
  if (ended !== undefined && now && now !== ended) {
    const kept = last.taught.filter((row) => row.kept).length;
    const text = last.verdict === "promoted" ? fill("turn_taught", { n: kept }) : word("turn_unchanged");
    app.announce(text);
    if (!document.querySelector(".turning")) app.toast(text, { t: "turn_see", onclick: open });
  }
  ended = now;
}
