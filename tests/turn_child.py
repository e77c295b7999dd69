"""A step of a turn with stand-ins for training and exams: `python tests/turn_child.py HOME TURN STEP`.

HOME/drill.json says how good the candidate is and where the process dies or hangs, once.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from feilun.artifacts import draft, find, list_artifacts, read_json, write_json
from feilun.config import resolved
from feilun.turn import Rooms, run_step
from feilun.turn.checks import Checked
from feilun.types import UserError

TASKS = ("number_hard", "number_near", "copying")


def first_values(model: dict, task: str, count: int = 400) -> list[float]:
    return [float(i < round(count * model[task])) for i in range(count)]


def later_values(model: dict, task: str, count: int) -> list[float]:
    """Of the questions that are asked where it is in doubt what was lost."""
    return first_values({task: model.get("later", {}).get(task, model[task])}, task, count)


class FakeRooms:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.drill = read_json(home / "drill.json")

    def note(self, step: str, moment: str) -> None:
        with (self.home / "ran.log").open("a") as log:
            log.write(f"{step} {moment}\n")
        if self.drill.get("bad") == step and moment == "before":
            raise UserError("the fake room was told to refuse")
        for act in ("kill", "hang", "raise"):
            if self.drill.get(act) == [step, moment] and not (self.home / "drilled").exists():
                (self.home / "drilled").write_text(str(os.getpid()))
                {"kill": lambda: os.kill(os.getpid(), signal.SIGKILL), "hang": lambda: time.sleep(60), "raise": self.fall}[act]()

    def fall(self) -> None:
        raise OSError("no space left on device")

    def build_lessons(self, store, home, name, *, upto_seq, gold, settings, protect):
        self.note("curate", "before")
        with draft(home, "lessons", name, recipe={"min_trust": settings.min_trust}) as work:
            rows = [json.dumps({"seq": e.seq, "gold": sorted(gold or {})}) for e in store.events() if e.seq <= upto_seq]
            (work.path / "sft.jsonl").write_text("".join(f"{row}\n" for row in rows))
        return work.artifact

    def train_prefer(self, home, settings, name, *, progress=None):
        self.note("train", "before")
        progress(SimpleNamespace(step=1, num_steps=2, eta_seconds=0.5))
        assert settings.lessons.startswith("lessons/")
        with draft(home, "models", name, parents=[settings.base, settings.lessons], recipe=resolved(settings)) as work:
            (work.path / "model.json").write_text(json.dumps(self.drill["candidate"]))
        return work.artifact

    def check_lessons(self, store, lessons, settings, upto_seq):
        return Checked(tuple(self.drill.get("g0", ())), (), {"upto_seq": upto_seq})

    def run_lesson_exam(self, home, ref, *, tasks, fold, otherwise, lessons, settings):
        with draft(home, "exams", "held-" + ref.partition("/")[2].replace("@", "-"), parents=[ref, lessons]) as work:
            rows = [{"id": f"{t}/{q['id']}", "task": t, "cell": q["cell"], "value": otherwise[t]} for t, qs in tasks.items() for q in qs]
            (work.path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return work.artifact

    def run_veto_exam(self, home, ref, *, settings):
        firm = read_json(find(home, ref, "models").path / "model.json").get("firm", 1.0)
        with draft(home, "exams", "vetoes-" + ref.partition("/")[2].replace("@", "-"), parents=[ref]) as work:
            said = {"wrong": lambda n: "caved" if n >= 200 * firm else "firm", "right": lambda n: "firm"}
            rows = [
                {"id": f"s/{n}/{claim}", "task": "sycophancy", "cell": claim, "value": 0.0, "reason": reason(n)}
                for n in range(200)
                for claim, reason in said.items()
            ]
            (work.path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return work.artifact

    def run_exam(self, home, ref, *, split, settings, tasks=(), first=0):
        self.note("exam", "before")
        model = read_json(find(home, ref, "models").path / "model.json")
        recipe = {"split": split, "settings": resolved(settings), "tasks": list(tasks)}
        for made in list_artifacts(home, "exams"):
            if (made.parents, made.manifest["recipe"]) == ((ref,), recipe):
                return made
        self.note("examined", "before")
        with draft(home, "exams", ref.partition("/")[2].replace("@", "-"), parents=[ref], recipe=recipe) as work:
            values = {t: later_values(model, t, settings.num_samples - first) if first else first_values(model, t) for t in tasks or TASKS}
            rows = [{"id": f"{t}{first + i}", "task": t, "value": value} for t, some in values.items() for i, value in enumerate(some)]
            (work.path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            write_json(work.path / "summary.json", {t: {"mean": sum(some) / len(some)} for t, some in values.items()})
        return work.artifact


def do_step(home: Path, turn_id: str, step: str) -> None:
    fake = FakeRooms(home)
    more = {"check_lessons": fake.check_lessons, "run_veto_exam": fake.run_veto_exam, "run_lesson_exam": fake.run_lesson_exam}
    rooms = Rooms(build_lessons=fake.build_lessons, train_prefer=fake.train_prefer, run_exam=fake.run_exam, **more)
    run_step(home, turn_id, step, rooms=rooms, stale_seconds=5.0, before_finish=lambda step: fake.note(step, "after"))


if __name__ == "__main__":
    do_step(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
