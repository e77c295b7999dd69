// The body of an answer: one node a block of rendered HTML, so that a growing answer changes only its end.

import { setHtml } from "./api.js";
import { element, tool } from "./dom.js";

export class Blocks {
  /** `oncopy(text, button)`: a listing gets a button that copies it. */
  constructor(oncopy) {
    this.node = element("div", { class: "prose" });
    this.oncopy = oncopy;
  }

  /** Replace all blocks from `from` on. */
  replace(from, blocks) {
    while (this.node.children.length > from) this.node.lastElementChild.remove();
    for (const html of blocks) {
      const block = element("div", { class: "block" });
      setHtml(block, html);
      this.node.append(block);
      if (this.oncopy) for (const listing of block.querySelectorAll("pre")) this.#frame(listing);
    }
  }

  #frame(listing) {
    const frame = element("div", { class: "listing" });
    listing.replaceWith(frame);
    frame.append(tool("copy", "copy_code", (event) => this.oncopy(listing.textContent, event.currentTarget)), listing);
  }
}
