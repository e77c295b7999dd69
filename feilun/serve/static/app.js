// The shell: views, status, language, theme, short messages. Each view is a module with mount(root, app), and perhaps
// onStatus(status), onShow(rest of the address) and onLanguage(); so is each part of the bar.

import { api, events, setHtml, signal } from "./api.js";
import { element, everyWord, fill, icon, lang, say, setLanguage, speak, tool, word } from "./dom.js";

const POLL_MS = 2000, EAGER_MS = 500, TOAST_MS = 5000;
// The other tabs of this browser: who signs out here locks them at once.
const others = new BroadcastChannel("feilun");
const $ = (id) => document.getElementById(id);
const modules = new Map();
const tabs = [...document.querySelectorAll("nav [data-view]")];

let status = null;
let chosen = false;
let current = null;
let polling = false, timer = 0;

const app = {
  word, fill, element, icon, tool, say, speak, events, signal, setHtml, show, toast, announce, report, load, everyWord,
  api: (...call) => api(...call).catch((error) => {
    if (error.code === "lost") error.message = word("lost");
    throw error;
  }),
  get lang() { return lang(); },
  get status() { return status; },
};

// --- views

/** Show a view; `rest` is what stands behind it in the address: #chat/THREAD. */
function show(view, rest = "", { replace = false } = {}) {
  chosen = true;
  const address = `#${view}${rest && `/${rest}`}`;
  if (location.hash !== address) history[replace ? "replaceState" : "pushState"](null, "", address);
  return open(view, rest);
}

async function open(view, rest) {
  current = view;
  for (const tab of tabs) {
    tab.ariaCurrent = tab.dataset.view === view ? "page" : null;
    $(tab.dataset.view).hidden = tab.dataset.view !== view;
  }
  document.body.dataset.view = view;
  const module = await mount(view, $(view), $(`view-${view}`));
  if (current === view) module?.onShow?.(rest);
}

/** A module, mounted once; null when it cannot be loaded, and then its button goes. */
function mount(name, root, holder) {
  if (!modules.has(name)) {
    modules.set(name, start(name, root, holder).catch((error) => {
      console.warn(name, error);
      modules.delete(name);
      holder.hidden = true;
      return null;
    }));
  }
  return modules.get(name);
}

async function start(name, root, holder) {
  const [module] = await Promise.all([import(`./${name}.js`), "style" in holder.dataset && load(`${name}.css`), root.tagName === "SECTION" && name !== "chat" && everyWord()]);
  await module.mount(root, app);
  if (status) module.onStatus?.(status);
  return module;
}

/** A style sheet of ours; done when it applies. */
function load(name) {
  const href = `/static/${name}`;
  if (document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    document.head.append(element("link", { rel: "stylesheet", href, onload: resolve, onerror: () => reject(new Error(href)) }));
  });
}

function follow() {
  const [view, rest = ""] = location.hash.slice(1).split(/\/(.*)/s);
  const known = tabs.some((tab) => tab.dataset.view === view);
  if (known) chosen = true;
  const fallback = status && status.state !== "ready" && $("growth") ? "growth" : "chat";
  return open(known ? view : fallback, known ? rest : "");
}

// --- status

/** Ask for the status, and again in a while: sooner as long as something is awaited, a model or the server. */
async function poll() {
  if (polling) return;
  polling = true;
  clearTimeout(timer);
  let lost = false;
  try {
    status = await api("GET", "/api/status");
    if (status.failure) await everyWord();
    notice(status.failure ? word("champion_failure") + status.failure.error : "");
    await tell();
  } catch (error) {
    if (error.status === 401) return; // signed out: the page is being loaded anew
    lost = error.code === "lost";
    if (!lost) console.warn(error);
    notice(word("lost"));
  }
  polling = false;
  timer = setTimeout(poll, lost || status?.state !== "ready" || status.arriving ? EAGER_MS : POLL_MS);
}

async function tell() {
  if (document.body.dataset.state !== status.state || !document.body.dataset.seen) {
    document.body.dataset.state = status.state;
    document.body.dataset.seen = "yes";
    if (!chosen) await follow();
  }
  for (const module of modules.values()) (await module)?.onStatus?.(status);
}

function notice(text) {
  if ($("notice").textContent !== text) $("notice").textContent = text;
  $("notice").hidden = !text;
}

// --- short messages

/** A line that goes by itself; `action` = {t, onclick} adds one button. */
function toast(text, action) {
  const close = () => line.remove();
  const button = action && element("button", { class: "link", t: action.t, onclick: () => (close(), action.onclick()) });
  const line = element("p", { class: "toast" }, element("span", {}, text), button);
  $("toasts").replaceChildren(line);
  setTimeout(close, TOAST_MS);
}

/** Say `text` to those who listen to the page. */
function announce(text) {
  $("said").textContent = text;
}

/** What went wrong, to the reader. */
function report(error) {
  if (error.name !== "AbortError") toast(word("failed") + error.message);
}

// --- language, theme, keys

function setTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const root = document.documentElement;
  const wanted = (root.dataset.theme ?? system) === "dark" ? "light" : "dark";
  // What the system wants anyway is not kept: it then goes on following the system.
  if (wanted === system) delete root.dataset.theme;
  else root.dataset.theme = wanted;
  document.cookie = `feilun_theme=${wanted === system ? "" : wanted}; path=/; max-age=${wanted === system ? 0 : 31536000}; samesite=strict`;
}

/** End the session here and on the server; nothing that was written and not sent stays behind. */
async function signOut() {
  try {
    const { confirmed } = await import("./dialog.js");
    if (!(await confirmed(app, "sign_out_sure", "sign_out"))) return;
    await app.api("DELETE", "/api/session");
  } catch (error) {
    return report(error);
  }
  sessionStorage.clear();
  others.postMessage("left");
  location.replace("/");
}

async function switchLanguage() {
  await setLanguage(lang() === "zh" ? "en" : "zh").catch(report);
  $("language").lang = lang() === "zh" ? "en" : "zh-CN";
  for (const module of modules.values()) (await module)?.onLanguage?.();
  if (status) await tell();
}

for (const tab of tabs) tab.onclick = () => show(tab.dataset.view);
$("theme").onclick = setTheme;
$("language").onclick = switchLanguage;
$("leave").onclick = signOut;
$("help").onclick = () => import("./help.js").then((module) => module.showHelp(app)).catch(report);
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("textarea, input, select, [contenteditable]");
  if (event.key === "?" && !typing && !event.ctrlKey && !event.metaKey && !document.querySelector("dialog[open]")) {
    event.preventDefault();
    $("help").click();
  }
});
addEventListener("popstate", follow);
for (const name of ["online", "offline"]) addEventListener(name, poll);
others.onmessage = poll;

follow();
for (const part of document.querySelectorAll("[data-part]")) mount(part.dataset.part, part, part);
poll();
