// The conversations beside the chat: newest first, searched as one types, deleted for good. A drawer where there is no room.

import { element, fill, say, tool, word } from "./dom.js";

const PAGE = 50, TYPING_MS = 160, DAY_SECONDS = 86400;
const narrow = matchMedia("(max-width: 46rem)");

export class History {
  constructor(chat) {
    this.chat = chat;
    this.threads = [];
    this.search = element("input", { type: "search", id: "search", label: "search", hint: "search", autocomplete: "off", oninput: () => this.#typed() });
    this.search.onkeydown = (event) => this.#keyInSearch(event);
    this.list = element("div", { class: "threads" });
    this.more = element("button", { class: "link", t: "older", hidden: true, onclick: () => this.#older() });
    this.node = element("aside", { id: "history", label: "history" },
      element("header", {}, this.search, tool("plus", "new_chat", () => this.#go(null), { id: "new-chat" })), this.list, this.more);
    this.node.onkeydown = (event) => this.#arrows(event);
    this.shade = element("button", { class: "shade", label: "close", hidden: true, tabIndex: -1, onclick: () => this.drawer(false) });
    this.opener = document.getElementById("drawer");
    this.opener.hidden = false;
    this.opener.onclick = () => this.drawer(this.node.classList.contains("folded"));
    narrow.addEventListener("change", () => this.drawer(!narrow.matches));
    this.drawer(!narrow.matches && localStorage.getItem("history") !== "folded");
  }

  /** Open or fold the list. */
  drawer(open) {
    const over = open && narrow.matches;
    this.node.classList.toggle("folded", !open);
    this.node.inert = !open;
    this.shade.hidden = !over;
    const talk = document.querySelector(".talk");
    if (talk) talk.inert = over;
    this.opener.ariaExpanded = String(open);
    if (!narrow.matches) localStorage.setItem("history", open ? "open" : "folded");
    if (over) this.search.focus();
    else if (this.node.contains(document.activeElement)) this.opener.focus();
  }

  get isOver() {
    return !this.shade.hidden;
  }

  focusSearch() {
    this.drawer(true);
    this.search.focus();
    this.search.select();
  }

  async load() {
    try {
      const { threads } = await this.chat.app.api("GET", `/api/threads?limit=${PAGE}`);
      this.threads = threads;
      this.more.hidden = threads.length < PAGE;
      if (!this.search.value.trim()) this.show();
    } catch (error) {
      this.chat.app.report(error);
    }
  }

  async #older() {
    const { threads } = await this.chat.app.api("GET", `/api/threads?limit=${PAGE}&before=${this.threads.at(-1).at}`);
    this.threads.push(...threads);
    this.more.hidden = threads.length < PAGE;
    this.show();
  }

  show() {
    const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
    const groups = new Map();
    for (const thread of this.threads) {
      const day = thread.at >= midnight ? "today" : thread.at >= midnight - DAY_SECONDS ? "yesterday" : "earlier";
      groups.set(day, [...(groups.get(day) ?? []), thread]);
    }
    const lists = [...groups].map(([day, threads]) => element("section", {}, element("h2", { t: day }), element("ul", {}, threads.map((thread) => this.#row(thread)))));
    this.list.replaceChildren(...(lists.length ? lists : [element("p", { class: "fine", t: "no_threads" })]));
    this.mark();
  }

  #row(thread) {
    const open = element("button", { class: "thread", data: { thread: thread.id }, onclick: () => this.#go(thread.id) }, thread.title || word("untitled"));
    return element("li", {}, open, tool("bin", "delete_chat", () => this.#remove(thread)));
  }

  /** Show which conversation is open. */
  mark() {
    for (const button of this.list.querySelectorAll("[data-thread]")) button.ariaCurrent = button.dataset.thread === this.chat.id ? "true" : null;
  }

  #go(id, address) {
    if (narrow.matches) this.drawer(false);
    this.chat.go(id, address);
  }

  async #remove(thread) {
    const { confirmed } = await import("./dialog.js");
    if (!(await confirmed(this.chat.app, "delete_chat_sure", "delete_chat"))) return;
    try {
      await this.chat.app.api("DELETE", `/api/threads/${encodeURIComponent(thread.id)}`);
    } catch (error) {
      return this.chat.app.report(error);
    }
    this.threads = this.threads.filter((each) => each.id !== thread.id);
    this.show();
    this.chat.forgotten(thread.id);
  }

  // --- search

  #typed() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.#find(this.search.value.trim()), TYPING_MS);
  }

  async #find(text) {
    if (!text) return this.show();
    try {
      const { hits } = await this.chat.app.api("GET", `/api/search?q=${encodeURIComponent(text)}`);
      if (this.search.value.trim() !== text) return;
      const found = element("p", { class: "fine" }, fill("n_hits", { n: hits.length }));
      this.more.hidden = true;
      this.list.replaceChildren(found, element("ul", {}, hits.map((hit) => this.#hit(hit))));
      this.chat.app.announce(found.textContent);
    } catch (error) {
      this.chat.app.report(error);
    }
  }

  #hit(hit) {
    const role = element("b");
    say(role, hit.role === "user" ? "you" : "model");
    const snippet = hit.snippet.map((part) => (part.hit ? element("mark", {}, part.text) : part.text));
    return element("li", {}, element("button", { class: "thread hit", data: { hit: hit.address }, onclick: () => this.#go(hit.thread_id, hit.address) },
      element("span", {}, hit.title), element("small", {}, role, " ", snippet)));
  }

  #keyInSearch(event) {
    if (event.key === "Escape" && this.search.value) {
      event.stopPropagation();
      this.search.value = "";
      this.#typed();
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      this.list.querySelector(".hit")?.click();
    }
  }

  #arrows(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const rows = [this.search, ...this.list.querySelectorAll(".thread")], at = rows.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    rows[Math.min(rows.length - 1, Math.max(0, at + step))].focus();
  }
}
