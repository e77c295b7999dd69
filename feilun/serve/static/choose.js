// Dialogs about who answers: the engine of this chat, the one beside it, the one that shall try again.

import { openDialog } from "./dialog.js";
import { element, word } from "./dom.js";

/** The engine that answers, and one to be asked beside it. */
export function chooseEngine(picker) {
  const first = element("fieldset"), second = element("fieldset");
  const option = (name, { model, title }) => element("label", { class: "option" },
    element("input", { type: "radio", name, value: model, checked: model === picker[name], onchange: () => (picker.choose({ [name]: model }), name === "model" && others()) }),
    element("span", {}, title));
  const others = () => {
    const besides = [{ model: "", title: word("nobody") }, ...picker.choices.filter((each) => each.model !== picker.model)];
    second.replaceChildren(element("legend", { t: "beside" }), ...besides.map((each) => option("beside", each)));
    second.hidden = besides.length < 2;
  };
  first.append(element("legend", { t: "who_answers" }), ...picker.choices.map((each) => option("model", each)));
  others();
  const more = element("button", { class: "plain", t: "manage_engines", onclick: () => (dialog.close(), manage(picker.chat.app)) });
  const dialog = openDialog(picker.chat.app, "who_answers", first, second, element("p", {}, more));
  dialog.classList.add("small");
  dialog.querySelector("input:checked")?.focus();
}

async function manage(app) {
  const root = element("div");
  try {
    const [module] = await Promise.all([import("./engines.js"), app.everyWord()]);
    openDialog(app, "engines", root);
    await module.mount(root, app);
  } catch (error) {
    app.report(error);
  }
}

/** The model to give another answer, or null. */
export function chooseAnother(picker) {
  return new Promise((resolve) => {
    let chosen = null;
    const buttons = picker.choices.map(({ model, title }) => element("button", { class: "chip", onclick: () => ((chosen = model), dialog.close()) }, title));
    const dialog = openDialog(picker.chat.app, "another_from", element("p", { class: "starters" }, buttons));
    dialog.classList.add("small");
    dialog.addEventListener("close", () => resolve(chosen));
    (buttons[picker.choices.findIndex((each) => each.model === picker.model)] ?? buttons[0]).focus();
  });
}
