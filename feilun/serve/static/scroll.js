// The one owner of scrolling in the chat. While the reader is at the end, the end stays in sight; a reader who has gone up is left alone.

const NEAR_PX = 48;

export class Scroll {
  /** `box` scrolls, `inside` grows; `onstuck(bool)` tells when the reader comes to the end or leaves it. */
  constructor(box, inside, onstuck) {
    this.box = box;
    this.onstuck = onstuck;
    this.stuck = true;
    this.ours = -1;
    box.addEventListener("scroll", () => this.#moved(), { passive: true });
    // Upwards is a wish to leave, even while the text below is growing faster than the wheel turns.
    box.addEventListener("wheel", (event) => event.deltaY < 0 && box.scrollTop > 0 && this.#set(false), { passive: true });
    const observer = new ResizeObserver(() => this.keep());
    observer.observe(inside);
    observer.observe(box);
  }

  get #away() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight;
  }

  #moved() {
    // Our own moves end at the end; any other position is the reader's doing.
    if (Math.abs(this.box.scrollTop - this.ours) < 2) return;
    this.ours = -1;
    this.#set(this.#away < NEAR_PX);
  }

  #set(stuck) {
    if (stuck === this.stuck) return;
    this.stuck = stuck;
    this.onstuck(stuck);
  }

  /** After something grew or shrank. */
  keep() {
    if (!this.stuck) return;
    this.box.scrollTop = this.box.scrollHeight;
    this.ours = this.box.scrollTop;
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#set(true);
    this.keep();
  }

  /** Bring `node` to the middle and stay with it. */
  to(node) {
    this.stuck = false;
    node.scrollIntoView({ block: "center" });
    this.ours = this.box.scrollTop;
    this.stuck = this.#away < NEAR_PX;
    this.onstuck(this.stuck);
  }

  /** Change what is shown without moving what the reader looks at: `node` stays where it is on the screen. */
  holding(node, change) {
    const before = node.getBoundingClientRect().top;
    change();
    if (this.stuck || !node.isConnected) return this.keep();
    this.box.scrollTop += node.getBoundingClientRect().top - before;
    this.ours = this.box.scrollTop;
  }
}
