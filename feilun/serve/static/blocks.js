// The body of an answer: one node a block of rendered HTML, so that a growing answer changes only its end.

import { setHtml } from "./api.js";
import { element } from "./dom.js";

export class Blocks {
  constructor() {
    this.node = element("div", { class: "prose" });
  }

  /** Replace all blocks from `from` on. */
  replace(from, blocks) {
    while (this.node.children.length > from) this.node.lastElementChild.remove();
    for (const html of blocks) {
      const block = element("div", { class: "block" });
      setHtml(block, html);
      this.node.append(block);
    }
  }

  get text() {
    return this.node.innerText;
  }
}
