// The body of an answer: one node a block of rendered HTML, so that a growing answer changes only its end.

import { setHtml } from "./api.js";
import { element, tool } from "./dom.js";

/** What may be wider than its column scrolls in a frame of its own. */
function wrap(node, name) {
  const frame = element("div", { class: name });
  node.replaceWith(frame);
  frame.append(node);
  return frame;
}

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
      for (const listing of block.querySelectorAll("pre")) this.#frame(listing);
      for (const table of block.querySelectorAll("table")) wrap(table, "wide").tabIndex = 0;
    }
  }

  #frame(listing) {
    listing.tabIndex = 0;
    const frame = wrap(listing, "listing"), copy = (event) => this.oncopy(listing.textContent, event.currentTarget);
    if (this.oncopy) frame.prepend(tool("copy", "copy_code", copy));
  }
}
