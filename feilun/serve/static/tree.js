// The messages of one conversation as a tree: siblings under one parent, and the path that the reader chose through them.

export class Tree {
  constructor(root) {
    this.root = root;
    this.nodes = new Map();
    this.below = new Map();
    this.chosen = new Map();
  }

  /** Put a message in, or a newer version of it in its place. */
  add(message) {
    const old = this.nodes.get(message.address);
    this.nodes.set(message.address, message);
    const siblings = this.childrenOf(message.parent);
    if (old) siblings[siblings.indexOf(old)] = message;
    else {
      siblings.push(message);
      siblings.sort((a, b) => a.at - b.at);
    }
    this.below.set(message.parent, siblings);
    return message;
  }

  remove(address) {
    const message = this.nodes.get(address);
    if (!message) return;
    this.nodes.delete(address);
    this.below.set(message.parent, this.childrenOf(message.parent).filter((each) => each !== message));
    if (this.chosen.get(message.parent) === address) this.chosen.delete(message.parent);
  }

  childrenOf(parent) {
    return this.below.get(parent) ?? [];
  }

  siblingsOf(message) {
    return this.childrenOf(message.parent);
  }

  /** Let the path run through this message; whatever was chosen below it stays chosen. */
  choose(address) {
    for (let at = this.nodes.get(address); at; at = this.nodes.get(at.parent)) this.prefer(at);
  }

  /** Choose this message among its siblings. A reader who is on another branch stays there. */
  prefer(message) {
    this.chosen.set(message.parent, message.address);
  }

  /** From the first question down to the tip: at each fork what was chosen, else the newest. */
  path() {
    const path = [];
    for (let at = this.root; ; ) {
      const children = this.childrenOf(at);
      if (!children.length) return path;
      const next = this.nodes.get(this.chosen.get(at)) ?? children.at(-1);
      path.push(next);
      at = next.address;
    }
  }
}
