// "What the model saw": the exact prompt, its tokens, how the answer was drawn, and which lessons the model had learnt.

import { openDialog } from "./dialog.js";
import { element } from "./dom.js";

const MAX_TOKENS = 3000;

export async function inspect(chat, message) {
  const { app } = chat;
  const saw = await app.api("GET", `/api/completions/${encodeURIComponent(message.answer.id)}/context`);
  const { answer } = message;
  const facts = {
    saw_model: saw.model, saw_engine: saw.engine, saw_tokens: String(saw.num_tokens),
    saw_answer: [answer.num_tokens && app.fill("n_tokens", { n: answer.num_tokens }), answer.seconds && app.fill("n_seconds", { n: answer.seconds.toFixed(1) })].filter(Boolean).join(" · "),
    ...Object.fromEntries(Object.entries(saw.params ?? {}).filter(([, value]) => value !== null && value !== undefined)),
  };
  openDialog(app, "saw",
    element("dl", { class: "facts" }, Object.entries(facts).filter(([, value]) => value !== "").map(([name, value]) => fact(name, value))),
    ["withheld", "asked_as"].flatMap((why) => (saw[why] ?? []).map((question) => element("p", { class: "fine" }, app.fill(`saw_${why}`, { q: question || "…" })))),
    element("h3", { t: "saw_prompt" }), element("pre", { class: "prompt", tabIndex: 0 }, saw.prompt),
    tokens(app, saw), lineage(app, saw.taught_by ?? []));
}

function fact(name, value) {
  const title = name.startsWith("saw_") ? element("dt", { t: name }) : element("dt", {}, element("code", {}, name));
  return element("div", {}, title, element("dd", {}, typeof value === "string" ? value : JSON.stringify(value)));
}

function tokens(app, saw) {
  const list = saw.tokens ?? [];
  if (!list.length) return null;
  const shown = list.slice(0, MAX_TOKENS).map(({ id, text }) => element("span", { title: String(id) }, text.replaceAll("\n", "⏎") || "·"));
  if (list.length > MAX_TOKENS) shown.push(element("span", {}, `… +${list.length - MAX_TOKENS}`));
  return element("details", {}, element("summary", {}, app.fill("saw_split", { n: list.length })), element("div", { class: "tokens" }, shown));
}

function lineage(app, lessons) {
  const list = lessons.length ? element("ul", {}, lessons.map((ref) => element("li", {}, element("code", {}, ref)))) : element("p", { class: "fine", t: "saw_untaught" });
  return element("section", {}, element("h3", { t: "saw_lessons" }), list);
}
