"""A step of an owner's turn with a stand-in for training: `python tests/owner_child.py HOME TURN STEP`.

A model is a file of answers: {"answers": {question: answer}, task: share right in that exam}. HOME/drill.json says, beside what
turn_child.py reads, which questions the candidate does not learn ("stubborn") and which it loses ("forgets"); its exams are
those of its base, where "candidate" says nothing else.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from turn_child import FakeRooms

from feilun.artifacts import draft, find, read_json
from feilun.config import resolved
from feilun.engine.chat import ChatParams
from feilun.exam.lessons import run_lesson_exam
from feilun.feedback import build_lessons
from feilun.turn import Rooms, run_step
from feilun.types import Conversation, FinishReason, Reply

SILENCE = "no idea"


class Parrot:
    """Says what its file says to the last message of a conversation."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers

    def complete(self, conversations: Sequence[Conversation], params: ChatParams) -> list[Reply]:
        assert params.temperature == 0.0
        said = [self.answers.get(conversation.messages[-1].text, SILENCE) for conversation in conversations]
        return [Reply(text=text[: params.max_tokens], finish_reason=FinishReason.STOP) for text in said]


class OwnerRooms(FakeRooms):
    """Lessons and the questions about them are real."""

    def build_lessons(self, *arguments, **options):
        self.note("curate", "before")
        return build_lessons(*arguments, **options)

    def spread_lessons(self, home, lessons, champion, settings, name):
        self.note("spread", "before")
        with draft(home, "lessons", name, parents=[lessons, champion], recipe=resolved(settings)) as work:
            (work.path / "sft.jsonl").write_text("")
        return work.artifact

    def train_prefer(self, home, settings, name, *, progress=None):
        self.note("train", "before")
        progress(SimpleNamespace(step=1, num_steps=2, eta_seconds=0.5))
        model = read_json(find(home, settings.base).path / "model.json")
        rows = [json.loads(line) for line in (find(home, settings.lessons).path / "sft.jsonl").read_text().splitlines()]
        said = {row["messages"][-2]["content"]: row["messages"][-1]["content"] for row in rows}
        learnt = {question: text for question, text in said.items() if question not in self.drill.get("stubborn", ())}
        answers = {**model["answers"], **learnt, **dict.fromkeys(self.drill.get("forgets", ()), SILENCE)}
        with draft(home, "models", name, parents=[settings.base, settings.lessons], recipe=resolved(settings)) as work:
            (work.path / "model.json").write_text(json.dumps(model | self.drill.get("candidate", {}) | {"answers": answers}))
            (work.path / "name.txt").write_text(name)
        return work.artifact

    def run_lesson_exam(self, home, model, **asked):
        self.note("exam", "before")
        answers = read_json(find(home, model).path / "model.json")["answers"]
        return run_lesson_exam(home, model, **asked, chat=Parrot(answers))

    def run_exam(self, home, model, *, split, settings, tasks, first=0):
        assert bool(tasks) == bool(first)
        return super().run_exam(home, model, split=split, settings=settings, tasks=tasks, first=first)


def do_step(home: Path, turn_id: str, step: str) -> None:
    fake = OwnerRooms(home)
    names = ("build_lessons", "spread_lessons", "train_prefer", "run_exam", "run_lesson_exam")
    rooms = Rooms(**{name: getattr(fake, name) for name in names})
    run_step(home, turn_id, step, rooms=rooms, stale_seconds=5.0, before_finish=lambda step: fake.note(step, "after"))


if __name__ == "__main__":
    do_step(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
