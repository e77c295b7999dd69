// One running generation as this page sees it: attached to the server's stream, resumed after a loss, stopped at what was seen.

const ADOPTION_TRIES = 5, ADOPTION_MS = 1500;

/**
 * `on` = {update(live, index, from), lost(live, bool), end(live, data), fail(live, message)}.
 * Each answer: {index, key, blocks: [html], chars}. A stopped one keeps what it shows until the end tells what was recorded.
 */
export class Live {
  constructor({ id, parent, num_answers: count }, app, on) {
    Object.assign(this, { id, parent, app, on, model: null, engine: null, stopped: false, ended: false });
    this.answers = Array.from({ length: count }, (_, index) => ({ index, key: `${id}/${index}`, blocks: [], chars: 0 }));
    this.leaving = new AbortController();
  }

  async follow() {
    for (let left = ADOPTION_TRIES; ; left--) {
      try {
        return await this.app.events(`/api/generations/${encodeURIComponent(this.id)}`, {
          signal: this.leaving.signal,
          onlost: (lost) => this.on.lost(this, lost),
          onevent: (name, data) => this.#hear(name, data),
        });
      } catch (error) {
        // A server that was killed takes some seconds to find what it had half written.
        if (error.status !== 404 || !left) return this.#fail(error.message);
        this.on.lost(this, true);
        await new Promise((resolve) => setTimeout(resolve, ADOPTION_MS));
      }
    }
  }

  /** Stop reading. The generation goes on without us. */
  leave() {
    this.leaving.abort();
  }

  /** Stop the generation; the record is cut to what this page has shown. */
  async stop() {
    if (this.stopped || this.ended) return;
    this.stopped = true;
    const seen = this.answers.map((answer) => answer.chars).join(",");
    await this.app.api("DELETE", `/api/generations/${encodeURIComponent(this.id)}?seen=${seen}`);
  }

  #hear(name, data) {
    if (name === "snapshot") {
      Object.assign(this, { model: data.model, engine: data.engine });
      for (const answer of data.answers) this.#take({ ...answer, from: 0 });
    } else if (name === "blocks") this.#take(data);
    else if (name === "end") {
      this.ended = true;
      if (this.stopped) for (const { index } of this.answers) this.on.update(this, index, 0);
      this.on.end(this, data);
    } else if (name === "failed") this.#fail(data.message);
    return this.ended;
  }

  #take({ index, from, blocks, num_chars: chars }) {
    const answer = this.answers[index];
    if (!answer) return;
    answer.blocks.splice(from, Infinity, ...blocks);
    answer.chars = chars;
    // What came after a stop is shown at the end, as it was recorded: cut, or whole where the stop was too late.
    if (!this.stopped) this.on.update(this, index, from);
  }

  #fail(message) {
    this.ended = true;
    this.on.fail(this, message);
  }
}
