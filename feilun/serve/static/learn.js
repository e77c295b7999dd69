// The learn view: what the model is least sure of, put before the owner; each choice is a lesson, and a line says what is still missing.

import { shortModel } from "./answer.js";
import { element, fill, word } from "./dom.js";
import { Judge } from "./judge.js";

let app = null, judge = null, worth = null, line = null, asked = false;

export async function mount(root, shell) {
  app = shell;
  line = element("p", { class: "worth", role: "status" });
  judge = new Judge({
    take: () => app.api("GET", "/api/teach"),
    give: (body) => app.signal(body, "/api/teach/answers"),
    told: shortModel,
    changed: look,
    report: app.report,
  });
  root.append(element("div", { class: "learn" }, element("h1", { t: "help_me_learn" }), element("p", { class: "fine", t: "help_me_learn_more" }), line, judge.node,
    element("p", { class: "fine" }, element("a", { href: "/desk", t: "desk_title" }))));
  document.addEventListener("keydown", (event) => root.hidden || judge.key(event));
}

export function onShow() {
  if (!judge.task) judge.next();
  look();
  judge.node.focus({ preventScroll: true });
}

export function onLanguage() {
  judge.speak();
  tell();
}

/** How much is missing until a turn is worth it; one question at a time, the newest answer counts. */
async function look() {
  if (asked) return;
  asked = true;
  try {
    worth = await app.api("GET", "/api/teach/worth");
    tell();
  } catch (error) {
    app.report(error);
  }
  asked = false;
}

function tell() {
  if (!worth) return;
  const { more } = worth;
  line.textContent = more === null ? word("worth_never") : more ? fill("worth_more", { n: more }) : word("worth_now");
}
