// The page: polls the status, chats over the same /v1 endpoints as any client, and writes one signal per thumb.

import { element, renderGrowth, shortRef } from "./growth.js";

const $ = (id) => document.getElementById(id);
const WORDS = JSON.parse(document.body.dataset.words);
const STARTERS = ["9.11 和 9.8 哪个大?", "Which is larger, 9.11 or 9.8?", "3 + 4 = ?"];
const IDLE_MS = 4000, BUSY_MS = 1000;

let language = document.body.dataset.language;
let status = null;
let chosenView = null;
let thread = newId();
let messages = [];
let running = null;

const word = (key) => WORDS[language][key] ?? key;

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// --- language and views

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = word("title");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = word(node.dataset.t);
  for (const node of document.querySelectorAll("[data-placeholder]")) node.placeholder = word(node.dataset.placeholder);
  for (const node of document.querySelectorAll("[data-vote]")) {
    node.ariaLabel = node.title = word(node.dataset.vote === "1" ? "good" : "bad");
  }
  if (status) render();
}

$("language").onclick = () => {
  language = language === "zh" ? "en" : "zh";
  document.cookie = `feilun_lang=${language}; path=/; max-age=31536000; samesite=strict`;
  speak();
};

function show(view) {
  for (const name of ["chat", "growth"]) {
    $(name).hidden = name !== view;
    $(`view-${name}`).ariaPressed = String(name === view);
  }
  if (view === "chat" && matchMedia("(pointer: fine)").matches) $("ask").focus();
}

for (const view of ["chat", "growth"]) {
  $(`view-${view}`).onclick = () => show((chosenView = view));
}

// --- status

async function poll() {
  let wait = IDLE_MS;
  try {
    const response = await fetch("/api/status");
    if (response.status === 401) return location.reload();
    if (!response.ok) throw new Error(response.status);
    status = await response.json();
    const turning = status.progress && status.progress.stage !== "done";
    if (status.state === "starting" || turning || status.arriving) wait = BUSY_MS;
    render();
  } catch {
    say(word("lost"));
  }
  setTimeout(poll, wait);
}

function say(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function render() {
  const ready = status.state === "ready";
  $("model").hidden = !ready;
  if (ready) $("model").textContent = $("model").title = shortRef(status.champion.model);
  say(status.failure ? word("champion_failure") + status.failure.error : "");
  if (document.body.dataset.state !== status.state || !document.body.dataset.seen) {
    document.body.dataset.state = status.state;
    document.body.dataset.seen = "yes";
    show(chosenView ?? (ready ? "chat" : "growth"));
  }
  $("send").disabled = !ready;
  renderStarters(ready);
  renderGrowth(status, word);
}

function renderStarters(ready) {
  $("starters").hidden = !ready;
  const wanted = status.progress?.starters?.length ? status.progress.starters : STARTERS;
  if ($("starters").dataset.shown === wanted.join("\n")) return;
  $("starters").dataset.shown = wanted.join("\n");
  $("starters").replaceChildren(...wanted.map((text) => {
    const button = element("button", text);
    button.type = "button";
    button.onclick = () => ask(text);
    return button;
  }));
}

// --- chat

function addTurn(role, text) {
  $("empty").hidden = true;
  const node = $("turn").content.firstElementChild.cloneNode(true);
  const title = node.querySelector("h2");
  title.dataset.t = role === "user" ? "you" : "model";
  node.classList.add(role === "user" ? "mine" : "theirs");
  node.querySelector(".text").textContent = text;
  $("log").append(node);
  speak();
  node.scrollIntoView({ block: "end" });
  return node;
}

async function ask(text) {
  if (running || !text.trim() || status?.state !== "ready") return;
  const asked = [...messages, { role: "user", content: text }], home = thread;
  addTurn("user", text);
  const node = addTurn("assistant", "");
  const answer = { id: null, text: "", model: "", reason: null };
  running = new AbortController();
  busy(node, true);
  try {
    await stream(asked, answer, node, running.signal);
  } catch (error) {
    if (error.name === "AbortError") answer.reason = "stopped";
    else fail(node, answer, error);
  }
  running = null;
  busy(node, false);
  if (!answer.id || !answer.reason) return;
  if (home === thread) messages = [...asked, { role: "assistant", content: answer.text }];
  finish(node, answer);
}

function busy(node, on) {
  node.classList.toggle("running", on);
  $("log").ariaBusy = String(on);
  $("send").hidden = on;
  $("stop").hidden = !on;
  if (!on) $("ask").focus();
}

function fail(node, answer, error) {
  node.classList.add("failed");
  node.querySelector(".text").textContent = `${answer.text}${answer.text ? "\n" : ""}${word("failed")}${error.message}`;
}

async function stream(asked, answer, node, signal) {
  const body = { model: "feilun", messages: asked, stream: true, temperature: 0, metadata: { thread_id: thread } };
  const response = await fetch("/v1/chat/completions", {
    method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", part = await reader.read(); !part.done; part = await reader.read()) {
    const frames = (rest + part.value).split("\n\n");
    rest = frames.pop();
    frames.forEach((frame) => take(frame, answer));
    const log = $("log"), following = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    node.querySelector(".text").textContent = answer.text;
    if (following) node.scrollIntoView({ block: "end" });
  }
}

function take(frame, answer) {
  if (!frame.startsWith("data: ") || frame === "data: [DONE]") return;
  const chunk = JSON.parse(frame.slice(6));
  if (chunk.error) throw new Error(chunk.error.message);
  Object.assign(answer, { id: chunk.id, model: chunk.model });
  for (const choice of chunk.choices) {
    answer.text += choice.delta.content ?? "";
    answer.reason = choice.finish_reason ?? answer.reason;
  }
}

function finish(node, answer) {
  const title = node.querySelector("h2"), note = node.querySelector(".note"), votes = node.querySelector(".votes");
  delete title.dataset.t;
  title.textContent = shortRef(answer.model);
  if (answer.reason !== "stop") note.dataset.t = answer.reason === "length" ? "cut" : "stopped";
  speak();
  votes.hidden = false;
  const buttons = [...votes.children];
  let vote = 0;
  for (const button of buttons) {
    button.onclick = async () => {
      const pressed = Number(button.dataset.vote), wanted = vote === pressed ? 0 : pressed;
      buttons.forEach((each) => (each.disabled = true));
      const failure = await thumb(answer.id, wanted).catch((error) => error);
      if (!failure) vote = wanted;
      note.dataset.t = { 1: "noted_good", "-1": "noted_bad", 0: "noted_none" }[vote];
      note.textContent = failure ? word("failed") + failure.message : word(note.dataset.t);
      buttons.forEach((each) => {
        each.disabled = false;
        each.ariaPressed = String(Number(each.dataset.vote) === vote);
      });
      button.focus();
    };
  }
}

async function thumb(id, value) {
  const response = await fetch("/v1/feedback", {
    method: "POST", headers: { "Content-Type": "application/json", "Idempotency-Key": newId() },
    body: JSON.stringify({ target: { id, index: 0 }, kind: "thumb", value }),
  });
  if (!response.ok) throw new Error((await response.json()).error.message);
}

// --- keyboard and buttons

$("composer").onsubmit = (event) => {
  event.preventDefault();
  if (running || status?.state !== "ready") return;
  const text = $("ask").value;
  $("ask").value = "";
  ask(text);
};
$("stop").onclick = () => running?.abort();
$("new-chat").onclick = () => {
  running?.abort();
  thread = newId();
  messages = [];
  $("log").replaceChildren($("empty"));
  $("empty").hidden = false;
  show((chosenView = "chat"));
};
$("ask").onkeydown = (event) => {
  // Enter also ends the composing of a Chinese word; that one does not send.
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
};
document.onkeydown = (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key === "/" && !/^(TEXTAREA|INPUT)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    show((chosenView = "chat"));
    $("ask").focus();
  }
};

speak();
poll();
