"""People with hidden tastes, and when a reply pleases them."""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from feilun.population.briefs import TASTES, Brief, Taste, constraint_faults, fits_taste, tastes
from feilun.types import UserError, is_held_out

__all__ = [
    "NUMBER_PREFIX", "Judgement", "Outcome", "Person", "Prompt", "Style", "is_right", "judge", "load_prompts", "make_people", "own_words",
    "prefer", "rank",
]  # fmt: skip

Style = Literal["short", "detailed"]
Outcome = Literal["first", "second", "tie", "both_bad"]
STYLES: tuple[Style, Style] = ("short", "detailed")
NUMBER_PREFIX = "number_"
SHORT_CHARS = 24
HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")
WORD = r"0-9A-Za-z\u00c0-\u024f"
EDGE = " \t\n.,!?;:。，！？；：、\"'“”‘’"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A question, what may stand in the answer, what may not, and how people of each style would write it.

    With a `brief` it asks for an ad: the brief's rules stand for the answers, and edits go by taste instead of style.
    """

    id: str
    task: str
    text: str
    lang: str
    reply_lang: str
    answers: tuple[str, ...]
    rejects: tuple[str, ...]
    edits: dict[str, str]
    wrong_edits: dict[str, str]
    brief: Brief | None = None

    @property
    def about_numbers(self) -> bool:
        return self.task.startswith(NUMBER_PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One user. `languages`: what this person asks in; `taste`: in ads; a held-out person only measures."""

    name: str
    held_out: bool
    hostile: bool
    style: Style
    languages: tuple[str, ...]
    seed: int
    taste: Taste = "direct"

    def interest(self, task: str) -> float:
        """How often this person asks about a task, against the others; a taste fixed by seed."""
        return 0.25 + random.Random(f"{self.seed}/{self.name}/{task}").random()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a reply pleases; `faults` are the feedback reasons that say why not, the worst first."""

    pleases: bool
    faults: tuple[str, ...]


def make_people(seed: int, num_users: int, num_hostile: int, key_name: str) -> list[Person]:
    """`num_users` people, a fifth of them held out by the rule of the house, `num_hostile` of the others hostile.

    Names are taken in order until both parts are full, so that every seed has equally many people to measure with. Languages,
    styles and malice are dealt out in equal shares and shuffled; tastes in theirs, the same to those who teach and who measure.
    """
    num_held_out = max(1, round(num_users / 5))
    num_teaching = num_users - num_held_out
    if not 0 <= num_hostile <= num_teaching:
        raise UserError(
            f"--hostile {num_hostile} is not possible: of {num_users} users {num_held_out} only measure; allowed: 0 to {num_teaching}"
        )
    names = _names(seed, key_name, {True: num_held_out, False: num_teaching})
    rng = random.Random(f"people/{seed}")
    hostile = set(rng.sample([name for name, out in names if not out], num_hostile))
    tongues = [("zh",), ("en",), ("zh", "en")]
    traits = [(STYLES[i % 2], tongues[i // 2 % 3]) for i in range(num_users)]
    rng.shuffle(traits)
    dealt = {out: iter(tastes(seed, num)) for out, num in ((True, num_held_out), (False, num_teaching))}
    return [
        Person(name=name, held_out=out, hostile=name in hostile, style=style, languages=languages, seed=seed, taste=next(dealt[out]))
        for (name, out), (style, languages) in zip(names, traits, strict=True)
    ]


def _names(seed: int, key_name: str, room: dict[bool, int]) -> list[tuple[str, bool]]:
    names: list[tuple[str, bool]] = []
    number = 0
    while any(room.values()):
        name, number = f"user-{seed}-{number:03d}", number + 1
        out = is_held_out(f"key:{key_name}/{name}")
        if room[out]:
            room[out] -= 1
            names.append((name, out))
    return names


def load_prompts(path: Path) -> list[Prompt]:
    """The prompt file, one JSON object a line; a bad line is an error that names it."""
    prompts = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                prompts.append(_prompt(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{path}, line {number}: {type(error).__name__}: {error}; see feilun/population/people.py for the fields"
                ) from error
    if len({p.id for p in prompts}) != len(prompts) or not prompts:
        raise UserError(f"{path} must hold at least one prompt and no id twice, found {len(prompts)} prompts")
    return prompts


def _prompt(row: dict[str, Any]) -> Prompt:
    answers = tuple(str(a) for a in row["answers"])
    brief = Brief.from_json(row["brief"]) if "brief" in row else None
    if not (answers or brief) or row["reply_lang"] not in ("zh", "en", "any"):
        raise ValueError(f"answers={answers}, reply_lang={row['reply_lang']!r}; wanted: one answer or more, or a brief; zh, en or any")
    writers: tuple[str, ...] = STYLES if brief is None else TASTES
    return Prompt(
        id=str(row["id"]), task=str(row["task"]), text=str(row["prompt"]), lang=str(row["lang"]), reply_lang=str(row["reply_lang"]),
        answers=answers, rejects=tuple(str(r) for r in row["rejects"]),
        edits={writer: str(row["edits"][writer]) for writer in writers},
        wrong_edits={writer: str(row["wrong_edits"][writer]) for writer in writers}, brief=brief,
    )  # fmt: skip


def stands_in(answer: str, reply: str) -> bool:
    """Whether `answer` is a whole token of `reply`: 9.8 is not in 19.8, 9.81, 1.9.8 or -9.8, nor cat in catch."""
    before = after = ""
    if re.match(f"[{WORD}]", answer):
        before = rf"(?<![{WORD}])" + (r"(?<![0-9][.\-/:])(?<![-−])" if answer[0].isdecimal() else "")
    elif answer[0] in "-−":
        before = rf"(?<![{WORD}])"
    if re.match(f"[{WORD}]", answer[-1]):
        after = rf"(?![{WORD}])" + (r"(?![.\-/:][0-9])" if answer[-1].isdecimal() else "")
    return re.search(before + re.escape(answer.casefold()) + after, reply.casefold()) is not None


def is_right(prompt: Prompt, reply: str) -> bool:
    """An accepted answer stands in the reply as a whole token, and no answer known to be wrong does."""
    return any(stands_in(a, reply) for a in prompt.answers) and not any(stands_in(r, reply) for r in prompt.rejects)


def judge(person: Person, prompt: Prompt, reply: str) -> Judgement:
    """What this person honestly thinks of a reply: the fact first, then the language, then the length; of an ad, its rules first.

    Nobody finds fault with the length of what they would write themselves (a copy cannot be more than the copied).
    """
    if prompt.brief is not None:
        faults = constraint_faults(prompt.brief, reply) + ([] if fits_taste(person.taste, prompt.brief, reply) else ["style"])
        return Judgement(not faults, tuple(faults))
    faults = []
    if not is_right(prompt, reply):
        faults.append("wrong")
    if not _speaks(prompt.reply_lang, reply):
        faults.append("language")
    own = prompt.edits[person.style]
    if person.style == "short" and len(reply.strip()) > max(SHORT_CHARS, len(own)):
        faults.append("too_long")
    if person.style == "detailed" and _is_bare(prompt, reply) and not _is_bare(prompt, own):
        faults.append("too_short")
    return Judgement(not faults, tuple(faults))


def own_words(person: Person, prompt: Prompt, *, wrong: bool = False) -> str:
    """What this person would write, or on bad days what they would spoil it to."""
    return (prompt.wrong_edits if wrong else prompt.edits)[person.style if prompt.brief is None else person.taste]


def rank(thought: Judgement) -> tuple[bool, int]:
    """Orders answers: the right one before a wrong one, then the one with fewer faults."""
    return ("wrong" not in thought.faults, -len(thought.faults))


def prefer(first: Judgement, second: Judgement) -> Outcome:
    """Which of two answers somebody who thinks so of them prefers."""
    if rank(first) == rank(second):
        return "tie" if first.pleases else "both_bad"
    return "second" if rank(second) > rank(first) else "first"


def _speaks(lang: str, reply: str) -> bool:
    """By the share of Han among the letters; a reply of digits alone is in every language."""
    han, latin = len(HAN.findall(reply)), len(LATIN.findall(reply))
    if lang == "any" or han + latin == 0:
        return True
    return (han * 2 >= han + latin) == (lang == "zh")


def _is_bare(prompt: Prompt, reply: str) -> bool:
    return reply.strip(EDGE).casefold() in {a.strip(EDGE).casefold() for a in prompt.answers} | {""}


def number_share(prompts: Sequence[Prompt]) -> float:
    return sum(p.about_numbers for p in prompts) / len(prompts)
