"""What the demo does in which order. Every step is a child process or is found again, so a killed demo goes on."""

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from feilun.artifacts import find, read_json
from feilun.config import Recipe, load_recipe, resolved
from feilun.demo.children import Server, feilun_command, run_child, spent_cpu_seconds
from feilun.demo.report import REPORTS, report_row, table_lines, write_report
from feilun.demo.stages import FIRST_STAGES, exam_of, open_keys, owner_turn_settings, turn_settings, write_prompt_files
from feilun.demo.state import DemoState, held, open_state
from feilun.primer.probes import STARTERS
from feilun.progress import Bar, progress_bar
from feilun.serve.auth import issue_owner_token
from feilun.store import Store, TurnRow
from feilun.turn import leave_settings, promote, run_turn, watcher_beside
from feilun.types import UserError

__all__ = ["acceptance_file", "parse_progress", "run_demo"]

LABELS = {"tokens": "tokenizer", "examples": "tokenizer"}
# A child says its refs and its figures as well; the bar and the report show those.
NOT_SAID = ("{", "models/", "corpus/", "lessons/", "tokenizer/", "tokens/", "exams/")


def run_demo(home: Path, *, seed: int, text: Sequence[Path], serve: bool, recipe: str, control: str, turns: int | None = None) -> int:
    """Turn the ring in `home`, or go on with it; then serve until interrupted. turns: how many, instead of the recipe's."""
    # One thread compiles, inside the process that trains, so that its CPU-seconds are counted with it.
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
    planned = load_recipe(recipe)
    with held(home):
        state = open_state(home, seed=seed, text=text, recipe=recipe, control=control)
        planned = with_turns(planned, state, turns)
        if is_done(state, planned) and not serve:
            leave_owner_turn(state, planned)
            say_ending(state)
            return 0
        server = Server(home, *(f"{key}={value}" for key, value in resolved(planned.serve).items()))
        try:
            if not is_done(state, planned):
                print(f"page       {server.owner_url}   (what happens now; a chat once there is a model)", flush=True)
                with progress_bar() as bar:
                    Ring(state, planned, server, bar).turn()
            leave_owner_turn(state, planned)
            say_ending(state)
            if serve:
                say_address(home, server)
                with watcher_beside(home):
                    server.wait()
        finally:
            server.stop()
    return 0


def leave_owner_turn(state: DemoState, recipe: Recipe) -> None:
    """From now on the owner may turn the wheel: with these settings, by the page's button or by `feilun turn`."""
    with Store.open(state.home) as store:
        leave_settings(store, owner_turn_settings(state, recipe))


def with_turns(recipe: Recipe, state: DemoState, asked: int | None) -> Recipe:
    """The recipe with as many turns as are asked for; what has turned in this home stays in its report."""
    if asked is not None and asked < 1:
        raise UserError(f"--turns {asked}: a ring turns at least once; give 1 or more, or leave it out for the recipe's own number")
    wanted = recipe.demo.turns if asked is None else asked
    turned = sum(step.startswith("turn-") for step in state.refs)
    return replace(recipe, demo=replace(recipe.demo, turns=max(wanted, turned)))


def is_done(state: DemoState, recipe: Recipe) -> bool:
    """The report is written and tells of every turn."""
    if "report" not in state.refs or not all((state.home / name).exists() for name in REPORTS):
        return False
    return len(read_json(state.home / REPORTS[0])["generations"]) > recipe.demo.turns


class Ring:
    """One pass over all steps; a step that is done costs nothing."""

    def __init__(self, state: DemoState, recipe: Recipe, server: Server, bar: Bar):
        self.state, self.recipe, self.server, self.bar = state, recipe, server, bar
        self.home = state.home
        self.keys = open_keys(self.home)
        self.rows: list[dict[str, Any]] = []
        self.run = ""
        self.cpu_mark, self.clock_mark = 0.0, time.monotonic()
        state.starts += 1
        state.save()

    def turn(self) -> None:
        with Store.open(self.home) as store:
            self.store = store
            for stage in FIRST_STAGES:
                self.once(stage, partial(self.make, stage))
            self.once("prompts", lambda: write_prompt_files(self.state, self.recipe))
            self.once("champion", self.first_champion)
            self.generation("first", self.state.refs["sft"], "first", "made from the primer's examples", None)
            for number in range(1, self.recipe.demo.turns + 1):
                self.one_turn(number)
            self.finish()

    def first_champion(self) -> str:
        """The first generation, promoted once, also where a kill came between the promotion and its being noted."""
        current, first = self.store.champion(), self.state.refs["sft"]
        return current.model if current is not None and current.model == first else promote(self.home, first).model

    def make(self, stage: str) -> str:
        label = LABELS.get(stage, stage)
        self.tell(label, 0.0)
        return run_child(feilun_command(self.home, "demo-stage", stage), label=f"stage {stage}", on_line=self.listener(label))

    def one_turn(self, number: int) -> None:
        """Users speak, then the wheel turns, then the candidate is examined and measured, promoted or not."""
        self.once(f"events-{number}", lambda: self.visit(number))
        result = self.once(f"turn-{number}", lambda: self.wheel(number))
        # Where there was nothing to learn from there is no candidate, and the champion's figures stand for the turn.
        challenged = result["champion"] if result["candidate"] else None
        model, why = result["candidate"] or result["champion"], "; ".join(result["why"])
        self.generation(f"turn {number}", model, result["verdict"], why, challenged)

    def visit(self, number: int) -> dict[str, Any]:
        demo, options = self.recipe.demo, self.state.told
        command = [
            *self.people(self.keys["demo"], "prompts.jsonl"), "--turn", str(number), "--events", str(demo.events_per_turn),
            "--noise", str(demo.noise), "--number-share", str(demo.number_share), "--copy-share", str(demo.copy_share),
            "--control", options["control"],
        ]  # fmt: skip
        return dict(json.loads(run_child(command, label=f"users of turn {number}", on_line=self.listener("feedback"))))

    def wheel(self, number: int) -> dict[str, Any]:
        self.tell("turn", 0.0)
        settings = turn_settings(self.state, self.recipe, number)
        ended = self.ended_turn(resolved(settings))
        if ended is None:
            result = run_turn(self.home, settings, progress=self.show_turn)
            if result.verdict == "failed":
                raise UserError(f"turn {number} failed: {'; '.join(result.why)}; run the same command again to try it anew")
            ended = self.store.turn(result.turn)
        train = ended.steps.get("train")
        candidate = train.output.get("candidate") if train is not None else None
        return {"verdict": ended.state, "why": ended.why.splitlines(), "candidate": candidate, "champion": ended.plan["champion"]["model"]}

    def ended_turn(self, settings: dict[str, Any]) -> TurnRow | None:
        """The turn of these settings, which no other turn shares, if it came to a verdict before a kill kept that from being noted."""
        verdicts = ("promoted", "refused")
        return next((turn for turn in self.store.turns() if turn.plan["settings"] == settings and turn.state in verdicts), None)

    def people(self, key: Path, prompts: str) -> list[str]:
        demo = self.recipe.demo
        self.server.check()
        return [
            sys.executable, "-m", "feilun.population", "--with-parent", "--url", self.server.url,
            "--key-file", str(key), "--key-name", "demo", "--prompts", str(self.home / prompts), "--seed", str(self.state.told["seed"]),
            "--users", str(demo.num_users), "--hostile", str(demo.num_hostile),
        ]  # fmt: skip

    def generation(self, name: str, model: str, verdict: str, why: str, challenged: str | None) -> None:
        """Examine on split "final", let held-out users judge it and choose between it and the champion it challenged, and add the row."""
        slug = slug_of(name)
        acceptance = acceptance_file(self.home, name)
        self.once(f"final-{slug}", lambda: self.exam(model))
        self.once(f"acceptance-{slug}", lambda: self.measure(model, acceptance))
        exam = exam_of(self.home, model, self.recipe.exam)
        assert exam is not None
        before = next((row["name"] for row in self.rows if row["model"] == challenged), None)
        blind = None if before is None else self.once(f"blind-{slug}", lambda: self.blind(before, name))
        self.rows.append(report_row(name, model, verdict, why, exam, read_json(acceptance), blind))
        self.tell("turn", 1.0)

    def exam(self, model: str) -> str:
        self.tell("exam", 0.0)
        assignments = [f"--set={key}={value}" for key, value in resolved(self.recipe.exam).items()]
        return run_child(feilun_command(self.home, "exam", "run", model, "--split", "final", *assignments), label="the exam")

    def measure(self, model: str, target: Path) -> dict[str, Any]:
        ref = find(self.home, model, "models").ref
        command = [*self.people(self.keys["examiner"], "measure.jsonl"), "--measure", "--model", ref, "--out", str(target)]
        return dict(json.loads(run_child(command, label="the held-out users", on_line=self.listener("feedback"))))

    def blind(self, before: str, after: str) -> dict[str, Any]:
        """What the held-out users choose between two generations; their judgements stand already, so nobody is asked again."""
        files = [str(acceptance_file(self.home, name)) for name in (before, after)]
        command = [sys.executable, "-m", "feilun.population.blind", *files]
        return {"against": before, **json.loads(run_child(command, label="the blind choices"))}

    def once(self, step: str, work: Callable[[], Any]) -> Any:
        """The result of a step, done now or before; its cost is added once."""
        if step not in self.state.refs:
            self.count("between", self.mark())
            self.state.refs[step] = work()
            self.count(step, self.mark())
            self.count("server", self.server.cpu_since_last())
            self.state.save()
        return self.state.refs[step]

    def count(self, step: str, cpu_seconds: float) -> None:
        self.state.cpu[step] = round(self.state.cpu.get(step, 0.0) + cpu_seconds, 3)

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
                if not line.startswith(NOT_SAID):
                    self.bar.say(f"  {line}")
                return
            total = row.get("total") or row.get("events") or 0
            loss = f", loss {row['loss']:.3f}" if "loss" in row else ""
            self.run = row.get("run") or self.run
            self.bar.show(f"{label}{loss}", row["done"], total, row.get("eta"))
            self.tell(label, row["done"] / total if total else 0.0, row.get("eta"))

        return listen

    def show_turn(self, progress: Any) -> None:
        self.bar.update(progress)
        self.tell("turn", progress.done / progress.total if progress.total else 0.0, progress.eta_seconds)

    def tell(self, stage: str, fraction: float, eta_seconds: float | None = None) -> None:
        """What the page shows."""
        self.store.note("progress", {
            "stage": stage, "fraction": fraction, "eta_seconds": eta_seconds or None, "detail": "", "table": self.rows,
            "starters": STARTERS, "corpus": self.state.refs.get("corpus", ""), "run": self.run,
        })  # fmt: skip

    def finish(self) -> None:
        """The report, with all that was spent up to its writing."""
        self.count("between", self.mark())
        self.count("server", self.server.cpu_since_last())
        write_report(self.state, self.recipe, self.rows)
        self.state.refs["report"] = REPORTS[0]
        self.state.save()
        self.tell("done", 1.0)


def slug_of(name: str) -> str:
    return name.replace(" ", "-")


def acceptance_file(home: Path, name: str) -> Path:
    """What held-out people thought of the generation of this name, judgement by judgement."""
    return home / f"acceptance-{slug_of(name)}.json"


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


def say_ending(state: DemoState) -> None:
    """The table and what to type next."""
    print("\n".join(table_lines(read_json(state.home / REPORTS[0])["generations"])))
    command = sys.argv[0] if Path(sys.argv[0]).name == "feilun" else "feilun"
    home = "" if state.home == Path.cwd() / "feilun-data" else f" --home {shlex.quote(str(state.home))}"
    print(f"\nreport     {state.home / 'report.html'}")
    print(f"next       {command}{home} status", flush=True)


def say_address(home: Path, server: Server) -> None:
    """A fresh link, because a link opens one session, and the key."""
    with Store.open(home) as store:
        print(f"page       {server.url}/?token={issue_owner_token(store)}")
    print(f"API        {server.url}/v1   key {open_keys(home)['demo'].read_text(encoding='utf-8').strip()}")
    print("serving; Ctrl-C stops (everything is kept, the same command serves again)", flush=True)
