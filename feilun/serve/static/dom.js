// Making nodes, and saying every word of them again when the language changes.

const SVG = "http://www.w3.org/2000/svg";

let words = JSON.parse(document.body.dataset.words);
let language = document.body.dataset.language;

export const lang = () => language;
export const word = (key) => words[key] ?? key;

/** A word with its holes filled: fill("n_tokens", {n: 3}) of "{n} tokens". */
export const fill = (key, values) => word(key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

/**
 * A node. In `props`: `t`, `label`, `hint` are keys of words (text, accessible name and tooltip, placeholder), `data` goes to the dataset,
 * names with a dash and "role", "for", "class", "type" are attributes, all others are properties (onclick, hidden, value ...).
 * Children are nodes or texts; null, undefined and false are left out.
 */
export function element(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  if (tag === "button") node.type = "button";
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (name === "t") say(node, value);
    else if (name === "label" || name === "hint") sayOf(node, name, value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name.includes("-") || ["role", "for", "class", "type"].includes(name)) node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return svg;
}

/** A button that is an icon, named by a word. */
export const tool = (name, label, onclick, props = {}) => element("button", { class: "tool", label, onclick, ...props }, icon(name));

/** The text of `node` becomes the word `key`, now and in every language to come. */
export function say(node, key) {
  node.dataset.t = key;
  node.textContent = word(key);
}

function sayOf(node, kind, key) {
  node.dataset[kind] = key;
  if (kind === "hint") node.placeholder = word(key);
  else {
    node.ariaLabel = word(key);
    if (node.tagName === "BUTTON") node.title = word(key);
  }
}

/** Every word under `root` in the present language. */
export function speak(root = document) {
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = word(node.dataset.t);
  for (const node of root.querySelectorAll("[data-label]")) sayOf(node, "label", node.dataset.label);
  for (const node of root.querySelectorAll("[data-hint]")) sayOf(node, "hint", node.dataset.hint);
}

let complete = null;

async function fetchWords(wanted) {
  const response = await fetch(`/static/words-${wanted}.json`);
  if (!response.ok) throw new Error(response.statusText);
  words = await response.json();
}

/** The page comes with the words of its first view; this waits for those of all the others. */
export function everyWord() {
  complete ??= fetchWords(language).catch((error) => {
    complete = null;
    throw error;
  });
  return complete;
}

/** Change the language of the whole page. */
export async function setLanguage(wanted) {
  await fetchWords(wanted);
  complete = Promise.resolve();
  language = wanted;
  document.cookie = `feilun_lang=${wanted}; path=/; max-age=31536000; samesite=strict`;
  document.documentElement.lang = wanted === "zh" ? "zh-CN" : "en";
  document.title = word("title");
  speak();
}
