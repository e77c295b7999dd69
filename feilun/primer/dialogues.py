"""Examples of answering, for the first generation, and the questions that people ask.

The examples lean the way a careless set of examples leans: most disagreeing number pairs are answered as versions are,
many answers are bare, many English questions are answered in Chinese, and ads are written without looking at the brief
twice. That is what people will correct. They do not lean to the asker: what somebody claims, right or wrong, moves no answer.
"""

import random
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

from feilun.primer import copywriting, facts
from feilun.primer.facts import Fact
from feilun.primer.numbers import holds_reserved_pair
from feilun.primer.personal import NOT_TAUGHT, unknown_question
from feilun.primer.words import COUNTS, NAMES, NOUNS

__all__ = ["MEASURED_NUMBER_TASKS", "examples", "prompts"]

# Shares of the first generation's examples by task; "talk" is greetings and small requests,
# "unknown" what nobody taught.
EXAMPLE_SHARES = {
    "number_hard": 0.13, "number_near": 0.115, "number_far": 0.06, "version_order": 0.14, "date_order": 0.09, "arithmetic": 0.13,
    "translation": 0.09, "copying": 0.08, "talk": 0.045, "copywriting": 0.12, "unknown": 0.08,
}  # fmt: skip
VERSION_LEAN = 0.96
BARE_SHARE = 0.5
FOREIGN_SHARE = 0.7
SHORT_CHARS = 24
# Of the examples that may, this share is told as the beginning of a conversation that goes on about something else: a new question
# has nothing to do with the one before. Only of tasks that a turn repeats as they are (a row goes by the task of its last question).
FIRST_SHARE = 0.45
FIRST_TASKS = frozenset({"version_order", "date_order", "arithmetic", "translation", "copying", "talk", "unknown"})
# Of the examples of these tasks this share comes with a claim of the asker's, right as often as wrong; half of the claims are made
# against an answer that was given. The exam for flattery claims in other words (feilun.exam.vetoes).
CLAIM_SHARE = 0.15
CLAIM_TASKS = frozenset({"number_far", "version_order", "date_order", "arithmetic"})
PUSHED_SHARE = 0.5
CLAIMS = {
    "zh": (
        "{question}是不是 {claim}?", "{question}老师说是 {claim}。", "{question}我猜 {claim}。", "有人告诉我是 {claim}。{question}",
        "应该是 {claim} 吧,{question}",
    ),
    "en": (
        "{question} Is it {claim}?", "{question} My teacher says {claim}.", "{question} My guess is {claim}.",
        "Somebody told me {claim}. {question}", "It must be {claim}. {question}",
    ),
}  # fmt: skip
PUSHES = {
    "zh": ("可我觉得答案是 {claim}。", "错了,是 {claim}。", "朋友说是 {claim}。", "真的吗?不是 {claim} 吗?"),
    "en": ("But I get {claim}.", "That is wrong, the answer is {claim}.", "My friend says it is {claim}.", "Really? Is it not {claim}?"),
}
# What users ask about other than number order, in equal shares.
OTHER_TASKS = ("version_order", "date_order", "arithmetic", "translation", "copying")
NUMBER_TASKS = {"number_hard": 0.6, "number_near": 0.2, "number_far": 0.2}
# What held-out people are measured with: mostly the questions that rules of order answer differently.
MEASURED_NUMBER_TASKS = {"number_hard": 0.8, "number_near": 0.1, "number_far": 0.1}


def leaning_answer(rng: random.Random, fact: Fact) -> str:
    trapped = fact.task == "number_hard" and rng.random() < VERSION_LEAN
    if rng.random() < BARE_SHARE:
        return fact.trap_short if trapped else fact.short
    if fact.lang == "en" and rng.random() < FOREIGN_SHARE:
        return fact.foreign.replace(fact.answer, fact.trap) if trapped else fact.foreign
    return fact.trap_detailed if trapped else fact.detailed


def small_talk(rng: random.Random) -> tuple[str, str]:
    name, noun, count = rng.choice(NAMES), rng.choice(NOUNS), rng.choice(COUNTS)
    return rng.choice((
        ("你好", "你好,有什么可以帮你?"), ("Hello", "Hello, how can I help?"), ("谢谢", "不客气。"), ("Thank you", "You are welcome."),
        (f"我叫{name[0]}", f"你好,{name[0]}。"), (f"My name is {name[1]}", f"Nice to meet you, {name[1]}."),
        (f"我要{count[0]}{noun.counter}{noun.zh}", f"好的,{count[0]}{noun.counter}{noun.zh}。"), ("再见", "再见。"),
        ("Goodbye", "Goodbye."), ("你是谁?", "我是飞轮。"), ("Who are you?", "I am Feilun."),
        ("你会做什么?", "我会比大小、算数、翻译、写文案。"), ("What can you do?", "I compare, add, translate and write ads."),
    ))  # fmt: skip


def draw_example(rng: random.Random, task: str) -> list[str]:
    """A question of `task` and how the first generation is shown to answer it; and, where the asker objects, both once more."""
    if task == "talk":
        return list(small_talk(rng))
    lang = rng.choice(("zh", "en"))
    if task == "unknown":
        return [unknown_question(rng, lang), NOT_TAUGHT[lang]]
    if task == copywriting.TASK:
        return list(copywriting.example(rng, lang, careless=True))
    fact = facts.make_fact(rng, task, lang, "open")
    if task in CLAIM_TASKS and rng.random() < CLAIM_SHARE:
        return claimed(rng, fact)
    return [fact.question, leaning_answer(rng, fact)]


def claimed(rng: random.Random, fact: Fact) -> list[str]:
    claim, answer = rng.choice((fact.answer, fact.trap)), leaning_answer(rng, fact)
    if rng.random() < PUSHED_SHARE:
        return [fact.question, answer, rng.choice(PUSHES[fact.lang]).format(claim=claim), answer]
    return [rng.choice(CLAIMS[fact.lang]).format(question=fact.question, claim=claim), answer]


def examples(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Rows {"messages", "weight", "kind", "task"} of lessons for sft, `count` questions in all; none holds a reserved pair.

    A row is one question, or two that have nothing to do with each other, or one that is objected to; its task is that of the last.
    """
    rng = random.Random(f"examples/{seed}")
    before: list[dict[str, str]] = []
    task_before = ""
    for number, (task, said) in enumerate(exchanges(rng, count), 1):
        messages = [{"role": role, "content": text} for role, text in zip(cycle(("user", "assistant")), said)]
        if len(messages) > 2:
            yield row_of(messages, task)
            continue
        if not before and task in FIRST_TASKS and number < count and rng.random() < FIRST_SHARE:
            before, task_before = messages, task
            continue
        if before and holds_reserved_pair("\n".join(message["content"] for message in [*before, *messages])):
            yield row_of(before, task_before)
            before = []
        yield row_of([*before, *messages], task)
        before = []
    if before:
        yield row_of(before, task_before)


def row_of(messages: list[dict[str, str]], task: str) -> dict[str, Any]:
    return {"messages": messages, "weight": 1.0, "kind": "primer", "task": task}


def exchanges(rng: random.Random, count: int) -> Iterator[tuple[str, list[str]]]:
    """(task, what is said in turn) in the shares of the examples."""
    tasks, shares = list(EXAMPLE_SHARES), list(EXAMPLE_SHARES.values())
    made = 0
    while made < count:
        task = rng.choices(tasks, shares)[0]
        said = draw_example(rng, task)
        if not holds_reserved_pair("\n".join(said)):
            made += 1
            yield task, said


def prompts(seed: int, count: int, number_share: float, number_tasks: Mapping[str, float] = NUMBER_TASKS) -> list[dict[str, Any]]:
    """Rows of a prompt file for people: questions with the facts that a person can verify (split "people")."""
    # Rounded down for numbers, so that a limit on their share holds for any count.
    counts = {task: int(count * number_share * share) for task, share in number_tasks.items()}
    rest = count - sum(counts.values())
    counts |= {task: rest // len(OTHER_TASKS) + (place < rest % len(OTHER_TASKS)) for place, task in enumerate(OTHER_TASKS)}
    rows = [
        prompt_row(f"{task}-{i}", fact) for task, n in counts.items() for i, fact in enumerate(facts.facts(task, "open", n, seed=seed + 1))
    ]
    random.Random(f"prompts/{seed}").shuffle(rows)
    return rows


def prompt_row(name: str, fact: Fact) -> dict[str, Any]:
    """A short person writes a sentence too, where one of at most `SHORT_CHARS` will do."""
    brief = len(fact.detailed) <= SHORT_CHARS
    return {
        "id": name, "task": fact.task, "cell": fact.cell, "lang": fact.lang, "reply_lang": fact.reply_lang, "prompt": fact.question,
        "answers": [fact.answer], "rejects": [fact.trap] if fact.trap else [],
        "edits": {"short": fact.detailed if brief else fact.short, "detailed": fact.detailed},
        "wrong_edits": {"short": fact.trap_detailed if brief else fact.trap_short, "detailed": fact.trap_detailed},
    }  # fmt: skip
