"""Which questions to put before people next: those of which the model is least sure, or on which it and the one before it disagree.

Of each question the champion gives one greedy answer and some drawn ones, the generation before it a greedy one. Uncertainty is the
chance that two drawn answers differ; a question to which all answers are the same teaches nothing by a choice, and is not offered.
Kinds of questions take turns, because long answers differ more easily than short ones.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple, TypeVar

from feilun.engine.chat import Chat, ChatParams
from feilun.feedback.curation import may_teach
from feilun.feedback.opinions import normalise
from feilun.store import OWNER, NewTask, Served, Store, prompt_key
from feilun.types import Conversation

__all__ = ["Asking", "Prepared", "Speaker", "open_questions", "prepare_tasks", "uncertainty"]

MAX_ANSWER_TOKENS = 128
NEWEST = 2000
KIND_CHARS = 6  # questions that begin alike are mostly of one kind


Asked = TypeVar("Asked", Served, NewTask)


class Speaker(NamedTuple):
    """A model, and how it is asked."""

    model: str
    chat: Chat


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """num_looked: so many of the newest questions are answered to find the `num_tasks` best. num_samples: drawn answers to each."""

    num_looked: int = 60
    num_tasks: int = 20
    num_samples: int = 4
    temperature: float = 0.8


class Prepared(NamedTuple):
    """num_open: questions that might be asked; looked: of how many answers were made; added: tasks; skipped: why not, by reason."""

    num_open: int
    looked: int
    added: int
    skipped: Counter[str]


def open_questions(store: Store, desk: str) -> list[Served]:
    """Newest first, each once: asked with consent by people and in conversations that may teach, and not asked at this desk before.

    Personal data and secrets have given way to placeholders: others will read them.
    """
    from feilun.corpus.redact import redact

    edited, known = store.edited_threads(OWNER), set(store.desks.known_prompts(desk))
    found = []
    for question in store.desks.served(NEWEST):
        messages = tuple({"role": message["role"], "content": redact(message["content"]).text} for message in question.messages)
        key = prompt_key(messages)
        if key not in known and may_teach(question, edited):
            known.add(key)
            found.append(replace(question, messages=messages))
    return found


def prepare_tasks(store: Store, desk: str, champion: Speaker, earlier: Speaker | None, asking: Asking) -> Prepared:
    """Answer the newest open questions and keep as tasks those that would teach most."""
    questions, skipped = open_questions(store, desk), Counter[str]()
    looked = list(islice((each for each in in_turns(questions) if _fits(each, champion, earlier, skipped)), asking.num_looked))
    if not looked:
        return Prepared(len(questions), 0, 0, skipped)
    conversations = [Conversation.from_json([dict(message) for message in question.messages]) for question in looked]
    greedy = _ask(champion, conversations)
    before = _ask(earlier, conversations) if earlier else [""] * len(looked)
    draws = [_ask(champion, conversations, asking.temperature, seed) for seed in range(asking.num_samples)]
    made = []
    for question, now, then, *drawn in zip(looked, greedy, before, *draws, strict=True):
        task = _task(question, champion, earlier, now, then, drawn)
        skipped["all_answers_agree"] += task is None
        made += [task] if task else []
    made.sort(key=lambda task: -(task.why["uncertainty"] + task.why["generations_differ"]))
    return Prepared(len(questions), len(looked), store.desks.add(desk, in_turns(made)[: asking.num_tasks]), +skipped)


def in_turns(asked: Iterable[Asked]) -> list[Asked]:
    """The first of each kind of question, then the second of each, and so on: what many ask must not crowd out all else."""
    taken: Counter[str] = Counter()
    places = []
    for each in asked:
        kind = normalise(each.messages[-1]["content"])[:KIND_CHARS]
        places.append((taken[kind], each))
        taken[kind] += 1
    return [each for _, each in sorted(places, key=lambda place: place[0])]


def uncertainty(answers: Iterable[str]) -> float:
    """The chance that two of the answers, drawn without putting back, differ once normalised; 0 for fewer than two."""
    counts = Counter(normalise(answer) for answer in answers)
    n = counts.total()
    return 1 - sum(count * (count - 1) for count in counts.values()) / (n * (n - 1)) if n > 1 else 0.0


def _fits(question: Served, champion: Speaker, earlier: Speaker | None, skipped: Counter[str]) -> bool:
    conversation = Conversation.from_json([dict(message) for message in question.messages])
    for speaker in (champion, earlier) if earlier else (champion,):
        if (speaker.chat.count_prompt(conversation) or 0) + MAX_ANSWER_TOKENS > speaker.chat.info.context_tokens:
            skipped["too_long"] += 1
            return False
    return True


def _ask(speaker: Speaker, conversations: Sequence[Conversation], temperature: float = 0.0, seed: int | None = None) -> list[str]:
    params = ChatParams(temperature=temperature, seed=seed, max_tokens=MAX_ANSWER_TOKENS)
    return [reply.text for reply in speaker.chat.complete(conversations, params)]


def _task(question: Served, champion: Speaker, earlier: Speaker | None, now: str, then: str, drawn: Sequence[str]) -> NewTask | None:
    """The champion's answer beside the one before it, else beside what it most often says instead; None where nothing differs."""
    differs = earlier is not None and bool(then.strip()) and normalise(then) != normalise(now)
    others = Counter(text for text in drawn if text.strip() and normalise(text) != normalise(now))
    if not now.strip() or not (differs or others):
        return None
    other = (earlier.model, then) if differs and earlier else (champion.model, others.most_common(1)[0][0])
    why = {"uncertainty": round(uncertainty(drawn), 4), "generations_differ": 1.0 if differs else 0.0}
    return NewTask(
        source=question.completion_id, consent=question.consent, messages=question.messages, left=(champion.model, now), right=other,
        why=why,
    )  # fmt: skip
