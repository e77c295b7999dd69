"""Exams and lessons kept apart, both ways: what an exam asks is in no lesson, and an exam question that a lesson holds is named."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from feilun.artifacts import Artifact, read_rows
from feilun.feedback.duplicates import skeleton
from feilun.types import UserError

__all__ = ["ExamQuestions", "read_questions"]

IN_EXAM = "asked_in_exam"
HEAD = 8  # characters of a skeleton by which a question is found in a text; shorter questions must be the whole text


class ExamQuestions:
    """Questions of exams, by id. Called with a text it names the reason why that must not be learnt, so it can be a `protect`."""

    def __init__(self, questions: Mapping[str, str]) -> None:
        self._whole: dict[str, list[str]] = {}
        self._by_head: dict[str, list[str]] = {}
        for name, question in sorted(questions.items()):
            shown = skeleton(question)
            if not shown:
                raise UserError(f"exam question {name!r} has no letters or digits; a question to protect needs some")
            if shown not in self._whole and len(shown) >= HEAD:
                self._by_head.setdefault(shown[:HEAD], []).append(shown)
            self._whole.setdefault(shown, []).append(name)

    def __len__(self) -> int:
        return len(self._whole)

    def __call__(self, text: str) -> str | None:
        return IN_EXAM if self.found_in(text) else None

    def found_in(self, text: str) -> list[str]:
        """Ids of the questions that stand in a text: spacing, case and sentence stops aside; a short one only as a line of its own."""
        lines = {skeleton(line) for line in text.split("\n")}
        found = {shown for shown in lines if shown in self._whole}
        body = skeleton(text)
        for start in range(len(body) - HEAD + 1):
            found.update(shown for shown in self._by_head.get(body[start : start + HEAD], ()) if body.startswith(shown, start))
        return sorted(name for shown in found for name in self._whole[shown])

    def seen_in(self, lessons: Iterable[Artifact]) -> dict[str, list[str]]:
        """The other way: question id -> the lessons that hold it already; such a question measures memory, not skill."""
        seen: dict[str, list[str]] = {}
        for artifact in lessons:
            for name in sorted({name for text in _texts(artifact) for name in self.found_in(text)}):
                seen.setdefault(name, []).append(f"{artifact.kind}/{artifact.ref}")
        return dict(sorted(seen.items()))


def _texts(artifact: Artifact) -> Iterable[str]:
    if artifact.manifest.get("tombstone"):
        return
    for file, key in (("sft.jsonl", "messages"), ("pairs.jsonl", "prompt")):
        path = artifact.path / file
        for row in read_rows(path) if path.exists() else ():
            yield "\n".join(str(message["content"]) for message in row[key])


def read_questions(paths: Sequence[Path]) -> dict[str, str]:
    """Questions from files of {"id"?, "question"} rows; without an id a row bears its file and line."""
    questions = {}
    for path in paths:
        try:
            rows = read_rows(path)
        except (OSError, ValueError) as error:
            raise UserError(f'{path}: {error}; each line must be {{"question": "...", "id": "..."}} (id may be left out)') from None
        for number, row in enumerate(rows, 1):
            if not isinstance(row, dict) or not isinstance(row.get("question"), str):
                raise UserError(f'{path}, line {number}: found {row!r:.80}; allowed is {{"question": "...", "id": "..."}}')
            questions[str(row.get("id", f"{path.name}:{number}"))] = row["question"]
    return questions
