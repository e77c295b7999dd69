"""Questions with one right answer, per task and split, in both languages and in several wordings.

A fact knows its accepted answer, the wrong answer that people fall for, and how a short and a detailed person would put
both. Splits are disjoint by hash of what is asked about (never of the wording): "open" may be shown to the model,
"people" is the part of "open" that users ask, "gate" and "final" are for the exams alone.
"""

import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from feilun.primer import numbers
from feilun.primer.words import ADJECTIVES, COUNTS, NAMES, NOUNS, VERBS
from feilun.types import UserError

__all__ = ["TASKS", "Fact", "facts", "make_fact"]

EXAM_ONE_IN = 8
# The last free questions of a small set are drawn about once in as many draws as there are questions.
DRAWS_IN_VAIN = 5_000
OTHER = {"zh": "en", "en": "zh"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`answer` is right, `trap` is what a wrong rule answers ("" if there is none); `cell` is the slice it is reported in."""

    task: str
    cell: str
    lang: str
    reply_lang: str
    subject: str
    question: str
    answer: str
    trap: str
    short: str
    detailed: str
    trap_short: str
    trap_detailed: str
    foreign: str  # the detailed answer as somebody who uses the other language would put it


Date = tuple[int, int, int]


class Wording(NamedTuple):
    """A question with {a} and {b}, and a sentence with {x} that answers it."""

    question: str
    sentence: str


def subject_split(subject: str) -> str:
    value = int.from_bytes(hashlib.blake2b(subject.encode(), digest_size=8).digest(), "big") % (2 * EXAM_ONE_IN)
    return {0: "gate", 1: "final"}.get(value, "open")


W = Wording
# (question about the first-named end of the order, and about the other end), by language
NUMBER_WORDINGS = {
    "zh": (
        (W("{a} 和 {b} 哪个大?", "{x} 更大。"), W("{a} 与 {b} 相比,哪个更大?", "{x} 更大。"), W("哪个数更大:{a} 还是 {b}?", "{x} 更大。")),
        (W("{a} 和 {b} 哪个小?", "{x} 更小。"), W("{a} 与 {b} 相比,哪个更小?", "{x} 更小。"), W("哪个数更小:{a} 还是 {b}?", "{x} 更小。")),
    ),
    "en": (
        (W("Which is larger, {a} or {b}?", "{x} is larger."), W("{a} or {b}: which number is bigger?", "{x} is bigger.")),
        (W("Which is smaller, {a} or {b}?", "{x} is smaller."), W("{a} or {b}: which number is less?", "{x} is less.")),
    ),
}
VERSION_WORDINGS = {
    "zh": (
        (W("版本 {a} 和版本 {b} 哪个新?", "版本 {x} 更新。"), W("软件有 {a} 版和 {b} 版,哪一版更新?", "{x} 版更新。")),
        (W("版本 {a} 和版本 {b} 哪个旧?", "版本 {x} 更旧。"), W("软件有 {a} 版和 {b} 版,哪一版更旧?", "{x} 版更旧。")),
    ),
    "en": (
        (
            W("Which version is newer, {a} or {b}?", "Version {x} is newer."),
            W("Release {a} or release {b}: which came later?", "{x} came later."),
        ),
        (
            W("Which version is older, {a} or {b}?", "Version {x} is older."),
            W("Release {a} or release {b}: which came first?", "{x} came first."),
        ),
    ),
}
DATE_WORDINGS = {
    "zh": (
        (W("{a}和{b},哪天更晚?", "{x}更晚。"), W("{a}与{b}哪个日期在后?", "{x}在后。")),
        (W("{a}和{b},哪天更早?", "{x}更早。"), W("{a}与{b}哪个日期在前?", "{x}在前。")),
    ),
    "en": (
        (W("Which date is later, {a} or {b}?", "{x} is later."),),
        (W("Which date is earlier, {a} or {b}?", "{x} is earlier."),),
    ),
}
SUM_WORDINGS = {
    "zh": (W("{a}等于多少?", "等于 {x}。"), W("算一算:{a}", "等于 {x}。")),
    "en": (W("What is {a}?", "It is {x}."), W("Work out {a}.", "It is {x}.")),
}
TRANSLATION_WORDINGS = {
    "zh": (W("“{a}”用英语怎么说?", "英语是 {x}."), W("把“{a}”翻译成英语。", "英语是 {x}.")),
    "en": (W('How do you say "{a}" in Chinese?', "中文是{x}。"), W('Translate "{a}" into Chinese.', "中文是{x}。")),
}
COPY_WORDINGS = {
    "zh": (W("请重复:{a}", "{x}"), W("跟我念:{a}", "{x}")),
    "en": (W("Repeat: {a}", "{x}"), W("Say this again: {a}", "{x}")),
}


def _fact(
    task: str,
    cell: str,
    lang: str,
    wording: Wording,
    subject: str,
    right: str,
    trap: str,
    *,
    other: Wording,
    reply_lang: str = "",
    **names: str,
) -> Fact:
    """`other` is a wording of the same question in the other language."""
    sentence = wording.sentence
    return Fact(
        task=task, cell=cell, lang=lang, reply_lang=reply_lang or lang, subject=subject, question=wording.question.format(**names),
        answer=right, trap=trap, short=right, detailed=sentence.format(x=right), trap_short=trap, trap_detailed=sentence.format(x=trap),
        foreign=other.sentence.format(x=right),
    )  # fmt: skip


def pair_subject(a: str, b: str) -> str:
    return "|".join(sorted((a, b)))


class Compared(NamedTuple):
    """Two members as they stand in the question, which of them is at the first-named end, and the subject they make."""

    a: str
    b: str
    top: str
    subject: str


def _compare(
    rng: random.Random, task: str, cell: str, lang: str, wordings: Mapping[str, tuple[tuple[Wording, ...], ...]], pair: Compared
) -> Fact:
    """A comparison that asks for either end of the order equally often."""
    a, b, top, subject = pair
    ask_top = rng.random() < 0.5
    bottom = b if top == a else a
    right, trap = (top, bottom) if ask_top else (bottom, top)
    end = 0 if ask_top else 1
    wording, other = rng.choice(wordings[lang][end]), rng.choice(wordings[OTHER[lang]][end])
    return _fact(task, cell, lang, wording, subject, right, trap, other=other, a=a, b=b)


def _number(task: str, draw: Callable[[random.Random], numbers.NumberPair]) -> Callable[[random.Random, str], Fact]:
    def make(rng: random.Random, lang: str) -> Fact:
        a, b, cell = draw(rng)
        return _compare(rng, task, cell, lang, NUMBER_WORDINGS, Compared(a, b, numbers.larger(a, b), pair_subject(a, b)))

    return make


def draw_versions(rng: random.Random) -> tuple[str, str]:
    """Two versions, of two parts mostly; often the same first part, where strings and numbers mislead."""
    while True:
        first = rng.randrange(0, 20)
        other = first if rng.random() < 0.7 else rng.randrange(0, 20)
        width = 2 if rng.random() < 0.7 else 3
        a, b = (".".join([str(head), *(version_part(rng) for _ in range(width - 1))]) for head in (first, other))
        if numbers.version_key(a) != numbers.version_key(b):
            return a, b


def version_part(rng: random.Random) -> str:
    return str(rng.randrange(1, 130) if rng.random() < 0.3 else rng.randrange(1, 20))


def version_order(rng: random.Random, lang: str) -> Fact:
    a, b = draw_versions(rng)
    return _compare(rng, "version_order", "", lang, VERSION_WORDINGS, Compared(a, b, numbers.later_version(a, b), pair_subject(a, b)))


def draw_dates(rng: random.Random) -> tuple[Date, Date]:
    while True:
        year, month = rng.randrange(1980, 2030), rng.randrange(1, 13)
        a = (year, month, rng.randrange(1, 29))
        b = (
            year if rng.random() < 0.7 else rng.randrange(1980, 2030),
            month if rng.random() < 0.5 else rng.randrange(1, 13),
            rng.randrange(1, 29),
        )
        if a != b:
            return a, b


def date_text(date: Date, lang: str) -> str:
    year, month, day = date
    return f"{year}年{month}月{day}日" if lang == "zh" else f"{year}-{month:02d}-{day:02d}"


def date_subject(first: Date, second: Date) -> str:
    """The same in both languages: what one language shows, the other's exam must not ask."""
    return pair_subject(date_text(first, "en"), date_text(second, "en"))


def date_order(rng: random.Random, lang: str) -> Fact:
    first, second = draw_dates(rng)
    a, b, top = (date_text(date, lang) for date in (first, second, max(first, second)))
    return _compare(rng, "date_order", "", lang, DATE_WORDINGS, Compared(a, b, top, date_subject(first, second)))


def arithmetic(rng: random.Random, lang: str, limit: int = 100) -> Fact:
    """A sum or a difference (never below 0) of two numbers below `limit`."""
    a, b = rng.randrange(0, limit), rng.randrange(0, limit)
    if rng.random() < 0.5:
        question, value = f"{a} + {b}", a + b
    else:
        a, b = max(a, b), min(a, b)
        question, value = f"{a} - {b}", a - b
    wrong = str(value + rng.choice((-10, -1, 1, 10)) if value >= 10 else value + 1)
    return _fact(
        "arithmetic", "", lang, rng.choice(SUM_WORDINGS[lang]), question, str(value), wrong, other=SUM_WORDINGS[OTHER[lang]][0], a=question
    )


def phrase(rng: random.Random) -> tuple[str, str]:
    """A Chinese phrase and its English: an adjective or a count with a noun, or a small sentence."""
    noun, kind = rng.choice(NOUNS), rng.random()
    if kind < 0.4:
        adjective = rng.choice(ADJECTIVES)
        return f"{adjective[0]}的{noun.zh}", f"{adjective[1]} {noun.en}"
    if kind < 0.7:
        count = rng.choice(COUNTS)
        return f"{count[0]}{noun.counter}{noun.zh}", f"{count[1]} {noun.plural}"
    name, verb = rng.choice(NAMES), rng.choice(VERBS)
    return f"{name[0]}{verb[0]}{noun.zh}", f"{name[1]} {verb[1]} the {noun.en}"


def translation(rng: random.Random, lang: str) -> Fact:
    zh, en = phrase(rng)
    trap_zh, trap_en = phrase(rng)
    source, right, trap = (zh, en, trap_en) if lang == "zh" else (en, zh, trap_zh)
    reply_lang = "any" if lang == "zh" else "zh"
    wording, wrong = rng.choice(TRANSLATION_WORDINGS[lang]), trap if trap != right else "?"
    return _fact("translation", "", lang, wording, f"{zh}|{en}", right, wrong, other=wording, reply_lang=reply_lang, a=source)


def copy_text(rng: random.Random, lang: str) -> str:
    """Two to four items, a decimal often among them (never two)."""
    column = 0 if lang == "zh" else 1
    items = [rng.choice(NOUNS)[column] if rng.random() < 0.7 else rng.choice(ADJECTIVES)[column] for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.7:
        items.insert(rng.randrange(len(items) + 1), f"{numbers.whole_part(rng)}.{numbers.fraction(rng, rng.randint(1, 3))}")
    return " ".join(items)


def copying(rng: random.Random, lang: str) -> Fact:
    text = copy_text(rng, lang)
    wording, wrong = rng.choice(COPY_WORDINGS[lang]), " ".join(reversed(text.split()))
    if wrong == text:  # a wrong copy must not hold the right one
        words = [noun[0 if lang == "zh" else 1] for noun in NOUNS]
        wrong = rng.choice([word for word in words if word not in text])
    return _fact("copying", "", lang, wording, text, text, wrong, other=wording, reply_lang="any", a=text)


TASKS: Mapping[str, Callable[[random.Random, str], Fact]] = {
    "number_hard": _number("number_hard", numbers.draw_hard),
    "number_near": _number("number_near", numbers.draw_near),
    "number_far": _number("number_far", numbers.draw_far),
    "version_order": version_order,
    "date_order": date_order,
    "arithmetic": arithmetic,
    "translation": translation,
    "copying": copying,
}


def make_fact(rng: random.Random, task: str, lang: str, split: str) -> Fact:
    """One fact of `task` in `split` ("open", "gate" or "final")."""
    while True:
        fact = TASKS[task](rng, lang)
        if fact_split(fact) == split:
            return fact


def fact_split(fact: Fact) -> str:
    """Where a fact belongs: exam splits hold reserved pairs of decimals where it has two, else subjects by hash."""
    members = fact.subject.split("|")
    if fact.task.startswith("number_"):
        return numbers.pair_split(*members)
    if numbers.holds_reserved_pair(fact.question):
        return numbers.pair_split(*members) if len(members) == 2 else "none"
    found = subject_split(f"{fact.task}|{fact.subject}")
    if fact.task == "version_order" and found != "open" and all(part.count(".") == 1 for part in members):
        return "none"  # two-part versions are decimals as well: only reserved pairs may stand in an exam
    return found


def may_show(task: str, subject: str) -> bool:
    """Whether a document may state the fact about `subject`: an exam split never asks about it."""
    return subject_split(f"{task}|{subject}") == "open"


def facts(task: str, split: str, count: int, seed: int = 0) -> Iterator[Fact]:
    """`count` facts with different questions, Chinese and English alternating, cells in turn; UserError when there are fewer."""
    rng = random.Random(f"{task}/{split}/{seed}")
    seen: set[str] = set()
    cells = {"number_hard": numbers.HARD_CELLS, "number_near": numbers.NEAR_CELLS}.get(task)
    in_vain = 0
    while len(seen) < count:
        fact = make_fact(rng, task, ("zh", "en")[len(seen) % 2], split)
        if fact.question in seen or (cells and fact.cell != cells[len(seen) // 2 % len(cells)]):
            in_vain += 1
            if in_vain > DRAWS_IN_VAIN:
                raise UserError(f"{task}, split {split}: {len(seen)} different questions were found, {count} asked; ask for fewer")
            continue
        in_vain = 0
        seen.add(fact.question)
        yield fact
