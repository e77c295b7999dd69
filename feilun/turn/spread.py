"""The owner's corrections in other words, as lessons: wordings with the taught answer, neighbours with the answer of before.

And a rehearsal of what the champion does well by now and the replay leaves out, because its examples show it otherwise: the
champion's own answers to their questions (learning without forgetting, Li and Hoiem 2016, arXiv 1606.09282).
"""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feilun.artifacts import Artifact, draft, find, read_rows, write_json, write_rows
from feilun.config import TurnSettings
from feilun.engine.chat import ChatParams
from feilun.exam.run import Chat, chat_with
from feilun.feedback.lessons import rater_hash
from feilun.feedback.owner import owner_edits
from feilun.feedback.spread import Spreader, can_be_spread, split_words
from feilun.store import OWNER
from feilun.types import Conversation, FinishReason

__all__ = ["spread_lessons"]

MAX_WORDINGS, MIN_WORDINGS = 240, 8
MAX_ROWS = 6400
NEIGHBOUR_SHARE = 0.10  # of the wordings
# A model that does not know says so in the same words; what only one neighbour gets is noise, and not to be confirmed.
SETTLED_REPLIES = 3
MAX_REHEARSED = 1200
# So much of all this is asked after an exchange about something else: what was taught is known, and what is known stays, wherever
# a conversation has been before.
OPENED_SHARE = 0.15
MAX_OPENING_CHARS = 48
Messages = list[dict[str, Any]]


class Spread(NamedTuple):
    """rows: of sft.jsonl; unlearn: questions of the replay that still give a corrected answer; counts: what became of what."""

    rows: list[dict[str, Any]]
    rehearsal: list[dict[str, Any]]
    unlearn: list[str]
    counts: dict[str, int]


class Earlier(NamedTuple):
    """An example of the replay: what was asked and shown, and of which task."""

    question: str
    answer: str
    task: str


def spread_lessons(home: Path, lessons: str, champion: str, settings: TurnSettings, name: str, *, chat: Chat | None = None) -> Artifact:
    """`home/lessons/name@hash`: sft.jsonl and rehearsal.jsonl as lessons are, and report.json with "unlearn" and "counts".

    The same inputs give the same artifact. chat: the champion, if it is open already.
    """
    source = find(home, lessons, "lessons")
    replay = find(home, settings.prefer.replay, "lessons") if settings.prefer.replay else None
    corrections = owner_edits(source)
    rejected = {row["rejected"] for row in read_rows(source.path / "pairs.jsonl") if row["rater"] == rater_hash(OWNER)}
    shown = read_rows(replay.path / "sft.jsonl") if replay else []
    earlier = [Earlier(_question(row), _answer(row), row.get("task", "")) for row in shown if not _objected(row)]
    if chat is None:
        with chat_with(find(home, champion, "models").path, settings.exam) as opened:
            spread = _spread(corrections, rejected, earlier, opened, settings)
    else:
        spread = _spread(corrections, rejected, earlier, chat, settings)
    limits = {
        "wordings": MAX_WORDINGS, "max_rows": MAX_ROWS, "neighbour_share": NEIGHBOUR_SHARE, "max_rehearsed": MAX_REHEARSED,
        "opened_share": OPENED_SHARE,
    }  # fmt: skip
    recipe = {"spread": {**limits, "seed": settings.prefer.seed}}
    parents = [f"lessons/{source.ref}", champion, *([f"lessons/{replay.ref}"] if replay else [])]
    with draft(home, "lessons", name, parents=parents, recipe=recipe) as work:
        write_rows(work.path / "sft.jsonl", spread.rows)
        write_rows(work.path / "rehearsal.jsonl", spread.rehearsal)
        write_json(work.path / "report.json", {"unlearn": spread.unlearn, "counts": spread.counts})
        work.counts |= spread.counts
    assert work.artifact is not None
    return work.artifact


def _spread(
    corrections: Sequence[Mapping[str, Any]], rejected: set[str], earlier: Sequence[Earlier], chat: Chat, settings: TurnSettings
) -> Spread:
    questions = [example.question for example in earlier]
    untaught = [example.question for example in earlier if example.answer in rejected]
    spreader = Spreader.from_questions(questions, untaught or questions)
    unlearn = _unlearn(corrections, rejected, earlier, spreader)
    argued = set(unlearn)
    openings = _openings((example for example in earlier if example.question not in argued), settings)
    num_wordings = max(MIN_WORDINGS, min(MAX_WORDINGS, MAX_ROWS // max(1, len(corrections))))
    rows: list[dict[str, Any]] = []
    asked: list[tuple[Mapping[str, Any], Messages]] = []
    taught = {_question(row).casefold() for row in corrections}
    for row in corrections:
        question = _question(row)
        rng = random.Random(f"spread/{settings.prefer.seed}/{question}")
        contexts = Contexts(row["messages"][:-2], openings, rng, can_move=can_be_spread(question))
        answer = {"role": "assistant", "content": _answer(row)}
        rows += [_row(row, [*contexts.ask(wording), answer], "wording") for wording in spreader.variants(question, num_wordings, rng)]
        beside = spreader.neighbours(question, round(num_wordings * NEIGHBOUR_SHARE), rng)
        asked += [(row, contexts.ask(neighbour)) for neighbour in beside if neighbour.casefold() not in taught]
    kept, num_unsettled = _answered(asked, chat, settings)
    rehearsal = _rehearsed(earlier, openings, chat, settings)
    counts = {
        "corrections": len(corrections), "not_spread": sum(not can_be_spread(_question(row)) for row in corrections),
        "wordings": len(rows), "neighbours": len(kept), "unsettled": num_unsettled, "unlearnt": len(unlearn),
        "rehearsed": len(rehearsal),
    }  # fmt: skip
    return Spread([*rows, *kept], rehearsal, unlearn, counts)


class Contexts:
    """Where the wordings of one correction are asked: in its own conversation, alone, or after something else.

    can_move: the question says by itself what it is about; one that does not stays in its own conversation.
    """

    def __init__(self, own: Messages, openings: Sequence[Messages], rng: random.Random, *, can_move: bool):
        self._own, self._openings, self._rng, self._can_move = own, openings, rng, can_move

    def ask(self, question: str) -> Messages:
        before: Messages = self._own
        if self._can_move and self._rng.random() < OPENED_SHARE and self._openings:
            before = self._rng.choice(self._openings)
        elif self._can_move and self._own and self._rng.random() < 0.5:
            before = []
        return [*before, {"role": "user", "content": question}]


def _openings(earlier: Iterable[Earlier], settings: TurnSettings) -> list[Messages]:
    """Short exchanges of the replay, of tasks that it repeats as they are."""
    return [
        [{"role": "user", "content": example.question}, {"role": "assistant", "content": example.answer}]
        for example in earlier
        if example.task not in settings.prefer.replay_without and len(example.question) + len(example.answer) <= MAX_OPENING_CHARS
    ]


def _answered(asked: Sequence[tuple[Mapping[str, Any], Messages]], chat: Chat, settings: TurnSettings) -> tuple[list[dict[str, Any]], int]:
    """Neighbours with what the champion says to them, where that is settled; and how many were not."""
    params = ChatParams(temperature=0.0, max_tokens=settings.exam.max_tokens)
    replies = chat.complete([Conversation.from_json(messages) for _, messages in asked], params) if asked else []
    said = Counter(answer.text for answer in replies if answer.finish_reason is FinishReason.STOP and answer.text.strip())
    kept = [
        _row(row, [*messages, {"role": "assistant", "content": answer.text}], "neighbour")
        for (row, messages), answer in zip(asked, replies, strict=True)
        if said[answer.text] >= SETTLED_REPLIES
    ]
    return kept, len(asked) - len(kept)


def _rehearsed(earlier: Sequence[Earlier], openings: Sequence[Messages], chat: Chat, settings: TurnSettings) -> list[dict[str, Any]]:
    """The champion's answers to questions of the tasks that the replay leaves out, where it came to an end.

    Asked alone; some are told after something else, with the answer that they have alone.
    """
    chosen = _left_out(earlier, settings)
    params = ChatParams(temperature=0.0, max_tokens=settings.exam.max_tokens)
    answers = chat.complete([Conversation.of(example.question) for example in chosen], params) if chosen else []
    rng = random.Random(f"rehearsal/{settings.prefer.seed}")
    contexts = Contexts([], openings, rng, can_move=True)
    return [
        {
            "messages": [*contexts.ask(example.question), {"role": "assistant", "content": answer.text}],
            "weight": 1.0, "kind": "rehearsal", "task": example.task,
        }
        for example, answer in zip(chosen, answers, strict=True)
        if answer.finish_reason is FinishReason.STOP and answer.text.strip()
    ]  # fmt: skip


def _left_out(earlier: Sequence[Earlier], settings: TurnSettings) -> list[Earlier]:
    """Examples of every left-out task, the more of them the longer its answers: there is more in them to forget."""
    by_task = {task: [example for example in earlier if example.task == task] for task in settings.prefer.replay_without}
    lengths = {task: sum(len(example.answer) for example in found) / len(found) for task, found in by_task.items() if found}
    chosen: list[Earlier] = []
    for task, length in lengths.items():
        count = min(len(by_task[task]), math.ceil(MAX_REHEARSED * length / sum(lengths.values())))
        chosen += random.Random(f"rehearsal/{settings.prefer.seed}/{task}").sample(by_task[task], count)
    return chosen


def _unlearn(corrections: Sequence[Mapping[str, Any]], rejected: set[str], earlier: Sequence[Earlier], spreader: Spreader) -> list[str]:
    """Earlier examples about a corrected thing with an answer that was rejected: to repeat them would argue against the owner."""
    keys = {spreader.key(_question(row)).lower() for row in corrections if can_be_spread(_question(row))}
    against = (example.question for example in earlier if example.answer in rejected)
    return sorted({question for question in against if not keys.isdisjoint(word.text.lower() for word in split_words(question))})


def _objected(row: Mapping[str, Any]) -> bool:
    """Whether the last question is an objection, under which an answer stayed what it was: without that it asks nothing."""
    answers = [message["content"] for message in row["messages"] if message["role"] == "assistant"]
    return len(answers) > 1 and answers[-1] == answers[-2]


def _row(row: Mapping[str, Any], messages: Messages, kind: str) -> dict[str, Any]:
    """The row of a correction with another conversation."""
    return {**row, "messages": messages, "weight": 1.0, "kind": kind}


def _question(row: Mapping[str, Any]) -> str:
    return str(row["messages"][-2]["content"])


def _answer(row: Mapping[str, Any]) -> str:
    return str(row["messages"][-1]["content"])
