"""What the demo does in which order. Every step is a child process or is found again, so a killed demo goes on."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from feilun.artifacts import find, read_json
from feilun.config import Recipe, load_recipe
from feilun.demo.children import Server, feilun_command, run_child, spent_cpu_seconds
from feilun.demo.report import report_row, table_lines, write_report
from feilun.demo.stages import FIRST_STAGES, exam_of, open_keys, turn_settings, write_prompt_files
from feilun.demo.state import DemoState, open_state
from feilun.progress import Bar, training_bar
from feilun.store import Store
from feilun.turn import promote, run_turn

__all__ = ["run_demo"]

LABELS = {"tokens": "corpus", "examples": "sft"}


def run_demo(home: Path, *, seed: int, text: Sequence[Path], serve: bool, recipe: str, control: str) -> int:
    """Turn the ring in `home`, or go on with it; then serve until interrupted."""
    state = open_state(home, seed=seed, text=text, recipe=recipe, control=control)
    server = Server(home)
    try:
        with training_bar() as bar:
            ring = Ring(state, load_recipe(recipe), server, bar)
            ring.turn()
        print_ending(state, server, open_keys(home)["demo"])
        if serve:
            print("serving; Ctrl-C stops (everything is kept, the same command serves again)", flush=True)
            server.wait()
    finally:
        server.stop()
    return 0


class Ring:
    """One pass over all steps; a step that is done costs nothing."""

    def __init__(self, state: DemoState, recipe: Recipe, server: Server, bar: Bar):
        self.state, self.recipe, self.server, self.bar = state, recipe, server, bar
        self.home = state.home
        self.keys = open_keys(self.home)
        self.rows: list[dict[str, Any]] = []
        self.cpu_mark, self.clock_mark = 0.0, time.monotonic()

    def turn(self) -> None:
        with Store.open(self.home) as store:
            self.store = store
            self.announce_text()
            for stage in FIRST_STAGES:
                self.once(stage, lambda stage=stage: self.make(stage))
            self.once("prompts", lambda: write_prompt_files(self.state, self.recipe) or "written")
            self.once("champion", lambda: promote(self.home, self.state.refs["sft"]).model)
            self.generation("first", self.state.refs["sft"], "first", "made from the primer's examples")
            for number in range(1, self.recipe.demo.turns + 1):
                self.one_turn(number)
            self.finish()

    def announce_text(self) -> None:
        text = self.state.told["text"]
        if text and "corpus" not in self.state.refs:
            size, cap = sum(item["bytes"] for item in text), self.recipe.demo.max_text_bytes
            used = min(size, cap)
            self.bar.say(f"your text: {size:,} bytes, of which up to {cap:,} are used; {used / (used + 9e6):.0%} of the corpus; "
                         "the number of training steps stays, so the time does too")  # fmt: skip

    def make(self, stage: str) -> str:
        label = LABELS.get(stage, stage)
        self.tell(label, 0.0)
        return run_child(feilun_command(self.home, "demo-stage", stage), label=f"stage {stage}", on_line=self.listener(label))

    def one_turn(self, number: int) -> None:
        """Users speak, then the wheel turns, then the candidate is examined and measured, promoted or not."""
        self.once(f"events-{number}", lambda: self.visit(number))
        result = self.once(f"turn-{number}", lambda: self.wheel(number))
        self.generation(f"turn {number}", result["candidate"], result["verdict"], "; ".join(result["why"]))

    def visit(self, number: int) -> dict[str, Any]:
        demo, options = self.recipe.demo, self.state.told
        command = [
            *self.people(self.keys["demo"], "prompts.jsonl"), "--turn", str(number), "--events", str(demo.events_per_turn),
            "--noise", str(demo.noise), "--number-share", str(demo.number_share), "--control", options["control"],
        ]  # fmt: skip
        return dict(json.loads(run_child(command, label=f"users of turn {number}", on_line=self.listener("feedback"))))

    def wheel(self, number: int) -> dict[str, Any]:
        self.tell("turn", 0.0)
        result = run_turn(self.home, turn_settings(self.state, self.recipe, number), progress=self.show_turn)
        return {"verdict": result.verdict, "why": list(result.why), "candidate": result.candidate}

    def people(self, key: Path, prompts: str) -> list[str]:
        demo = self.recipe.demo
        return [
            sys.executable, "-m", "feilun.population", "--url", self.server.url, "--prompts", str(self.home / prompts), "--key-file", str(key),
            "--key-name", "demo", "--seed", str(self.state.told["seed"]), "--users", str(demo.num_users), "--hostile", str(demo.num_hostile),
        ]  # fmt: skip

    def generation(self, name: str, model: str, verdict: str, why: str) -> None:
        """Examine on split "final", let held-out users judge, and add the row."""
        slug = name.replace(" ", "-")
        acceptance = self.home / f"acceptance-{slug}.json"
        self.once(f"final-{slug}", lambda: self.exam(model))
        self.once(f"acceptance-{slug}", lambda: self.measure(model, acceptance))
        exam = exam_of(self.home, model)
        assert exam is not None
        self.rows.append(report_row(name, model, verdict, why, exam, read_json(acceptance)))
        self.tell("turn", 1.0)

    def exam(self, model: str) -> str:
        self.tell("exam", 0.0)
        settings = self.recipe.exam
        assignments = [f"--set=num_samples={settings.num_samples}", f"--set=max_tokens={settings.max_tokens}"]
        return run_child(feilun_command(self.home, "exam", "run", model, "--split", "final", *assignments), label="the exam")

    def measure(self, model: str, target: Path) -> dict[str, Any]:
        ref = find(self.home, model, "models").ref
        command = [*self.people(self.keys["examiner"], "measure.jsonl"), "--measure", "--model", ref, "--out", str(target)]
        return dict(json.loads(run_child(command, label="the held-out users", on_line=self.listener("feedback"))))

    def once(self, step: str, work: Callable[[], Any]) -> Any:
        """The result of a step, done now or before; its cost is added once."""
        if step not in self.state.refs:
            self.mark()
            made = work()
            self.state.refs[step] = made
            self.state.cpu[step] = round(self.state.cpu.get(step, 0.0) + self.mark(), 3)
            self.state.cpu["server"] = round(self.state.cpu.get("server", 0.0) + self.server.cpu_since_last(), 3)
            self.state.save()
        return self.state.refs[step]

    def mark(self) -> float:
        """CPU-seconds since the last mark; the clock of the state goes on as well."""
        cpu, now = spent_cpu_seconds(), time.monotonic()
        taken, self.cpu_mark = cpu - self.cpu_mark, cpu
        self.state.seconds = round(self.state.seconds + now - self.clock_mark, 2)
        self.clock_mark = now
        return taken

    def listener(self, label: str) -> Callable[[str], None]:
        """JSON lines of a child become the bar and the page's note; other lines are said as they are."""

        def listen(line: str) -> None:
            row = parse_progress(line)
            if row is None:
                if not line.startswith(("{", "models/", "corpus/", "lessons/", "tokenizer/", "tokens/")):
                    self.bar.say(f"  {line}")
                return
            total = row.get("total") or row.get("events") or 0
            loss = f", loss {row['loss']:.3f}" if "loss" in row else ""
            self.bar.show(f"{label}{loss}", row["done"], total, row.get("eta"))
            self.tell(label, row["done"] / total if total else 0.0, row.get("eta"))

        return listen

    def show_turn(self, progress: Any) -> None:
        self.bar.update(progress)
        self.tell("turn", progress.done / progress.total if progress.total else 0.0, progress.eta_seconds)

    def tell(self, stage: str, fraction: float, eta_seconds: float | None = None) -> None:
        """What the page shows."""
        self.store.note("progress", {
            "stage": stage, "fraction": fraction, "eta_seconds": eta_seconds, "detail": "", "table": self.rows, "starters": self.starters(),
        })  # fmt: skip

    def starters(self) -> list[str]:
        return ["9.11 和 9.8 哪个大?", "Which is larger, 3.9 or 3.14?", "版本 2.10 和版本 2.9 哪个新?", "27 + 58等于多少?", "“三只猫”用英语怎么说?"]

    def finish(self) -> None:
        self.mark()
        self.state.cpu["server"] = round(self.state.cpu.get("server", 0.0) + self.server.cpu_since_last(), 3)
        self.state.save()
        write_report(self.state, self.recipe, self.rows)
        for line in table_lines(self.rows):
            self.bar.say(line)
        self.tell("done", 1.0)


def parse_progress(line: str) -> dict[str, Any] | None:
    """A line such as @{"done": 3, "total": 9} or {"done": 3, "events": 9}; None for anything else."""
    text = line.removeprefix("@")
    if not text.startswith("{"):
        return None
    try:
        row = json.loads(text)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and "done" in row else None


def print_ending(state: DemoState, server: Server, key_file: Path) -> None:
    home = shlex.quote(str(state.home))
    print(f"\nreport     {state.home / 'report.html'}")
    print(f"page       {server.owner_url}")
    print(f"API        {server.url}/v1   key {key_file.read_text(encoding='utf-8').strip()}")
    default = Path.cwd() / "feilun-data" == state.home
    print(f"next       {sys.argv[0] if sys.argv[0].endswith('feilun') else 'feilun'} {'' if default else f'--home {home} '}status", flush=True)

