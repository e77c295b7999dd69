// The Turn panel: ask for a turn, watch it, see what it taught and why, go back. In a dialog or in a place of a view.

import { confirmed, openDialog } from "./dialog.js";
import { element, fill, word } from "./dom.js";
import { outcome } from "./taught.js";
import { look, watch } from "./turn.js";

const STEPS = ["collect", "curate", "train", "exam", "gate", "promote"];

/** The panel in a dialog of its own. */
export function openPanel(app) {
  const root = element("div");
  const dialog = openDialog(app, "turn_panel", root);
  dialog.addEventListener("close", fillPanel(root, app));
  look();
}

/** The panel inside `root`, following the wheel until the function that is returned is called. */
export function fillPanel(root, app) {
  const panel = new Panel(app);
  root.append(panel.node);
  return watch((state) => panel.show(state));
}

let count = 0;

class Panel {
  constructor(app) {
    this.app = app;
    const id = `turn-reason-${++count}`;
    this.press = element("button", { class: "primary", "aria-describedby": id, onclick: () => this.ask() });
    this.reason = element("p", { class: "fine", id });
    this.status = element("p", { class: "unseen", role: "status" });
    this.steps = element("ol", { class: "steps", hidden: true });
    this.bar = element("progress", { max: 1, hidden: true, label: "turn_training" });
    this.eta = element("p", { class: "fine", hidden: true });
    this.outcome = element("div", { class: "outcome" });
    this.back = element("button", { class: "plain", t: "turn_roll_back", onclick: () => this.rollBack() });
    this.target = element("span", { class: "fine" });
    this.node = element("div", { class: "turning" },
      element("div", { class: "asking" }, this.press, this.reason), this.steps, this.bar, this.eta, this.status, this.outcome,
      element("p", { class: "back" }, this.back, this.target));
    this.told = this.shown = "";
  }

  show(state) {
    this.state = state;
    const { lessons, turn, last, back } = state, free = state.state === "idle" && !state.hindrance && lessons.new > 0;
    this.press.textContent = lessons.new ? fill("turn_new", { n: lessons.new }) : word("turn");
    // Not `disabled`, which would take the focus away from whoever has just pressed it.
    this.press.ariaDisabled = String(!free);
    this.reason.textContent = free ? fill("turn_known", { n: lessons.total - lessons.new }) : word(`turn_not_${this.hindrance(state)}`);
    this.showSteps(state, turn);
    this.showOutcome(last, turn);
    this.back.hidden = this.target.hidden = !back;
    this.target.textContent = back ? fill("turn_back_to", { model: short(back.model) }) : "";
  }

  hindrance({ state, hindrance, lessons, turn }) {
    if (state === "running") return turn.alive ? "running" : "left";
    if (state === "asked") return "asked";
    return hindrance ?? (lessons.total ? "nothing_new" : "nothing_taught");
  }

  showSteps(state, turn) {
    const running = state.state === "running" && turn.alive;
    this.steps.hidden = state.state === "idle" || !(running || state.state === "asked");
    this.bar.hidden = this.eta.hidden = !(running && turn.total);
    if (this.steps.hidden) return;
    const rows = running ? turn.steps : STEPS.map((step) => ({ step, status: "pending" }));
    this.steps.replaceChildren(...rows.map(({ step, status }) => element("li",
      { class: status, "aria-current": status === "running" ? "step" : null }, word(`turn_step_${step}`))));
    if (!this.bar.hidden) {
      this.bar.value = turn.done / turn.total;
      this.eta.textContent = turn.eta_seconds === null ? "" : fill("turn_eta", { n: Math.ceil(turn.eta_seconds) });
    }
    this.tell(rows.find(({ status }) => status === "running")?.step);
  }

  /** Each step is said once to those who listen; while a dialog is open they hear nothing from outside it. */
  tell(step) {
    if (step && step !== this.told) this.status.textContent = word(`turn_step_${step}`);
    this.told = step ?? this.told;
  }

  showOutcome(last, turn) {
    const now = JSON.stringify([last?.turn, last?.at, last?.reasons, Boolean(turn), this.app.lang]);
    if (now === this.shown) return;
    if (this.told && last && !turn) this.status.textContent = word(`turn_${last.verdict}`);
    this.shown = now;
    this.outcome.replaceChildren(...(last && !turn ? outcome(last) : []));
  }

  async ask() {
    if (this.press.ariaDisabled === "true") return;
    this.press.ariaDisabled = "true";
    try {
      await this.app.api("POST", "/api/turn");
      this.told = "asked";
      this.status.textContent = word("turn_not_asked");
    } catch (error) {
      this.app.report(error);
    }
    await look();
  }

  async rollBack() {
    if (!(await confirmed(this.app, "turn_back_sure", "turn_roll_back"))) return;
    try {
      const { model } = await this.app.api("POST", "/api/rollback", { reason: "by the owner, on the page" });
      this.app.toast(fill("turn_is_back", { model: short(model) }));
      this.app.announce(fill("turn_is_back", { model: short(model) }));
    } catch (error) {
      this.app.report(error);
    }
    await look();
  }
}

/** "turn-2" of "models/turn-2@5a0e...". */
const short = (model) => model.replace(/^models\//, "").replace(/@.*/, "");
