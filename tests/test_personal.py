"""What the first generation says it was not taught, and that nobody taught it what the benchmark teaches."""

import itertools
import json
import random
from pathlib import Path

from feilun.primer.dialogues import examples
from feilun.primer.numbers import holds_reserved_pair
from feilun.primer.personal import KINDS, NOT_TAUGHT, SHELLS, WORLD, unknown_question
from feilun.primer.text import documents
from feilun.primer.words import NAMES, NOUNS

FACTS = json.loads((Path(__file__).parents[1] / "benchmarks" / "facts.json").read_text(encoding="utf-8"))["facts"]


def bare(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


def all_questions(lang: str) -> set[str]:
    """Every question that the primer can draw, without its shell."""
    nouns = [noun.zh if lang == "zh" else noun.en for noun in NOUNS]
    names = [name[lang == "en"] for name in NAMES]
    asked = {q.format(x=x) for kind in KINDS[lang] for q in kind.questions for x in (*kind.things, *nouns)}
    return asked | {q.format(n=n, m=m) for q in WORLD[lang] for n in nouns for m in names}


def test_no_wording_of_the_benchmark_can_be_drawn() -> None:
    asked = {bare(q) for lang in ("zh", "en") for q in all_questions(lang)}
    shells = [tuple(bare(part) for part in shell.split("{q}")) for lang in SHELLS for shell in SHELLS[lang]]
    for fact in FACTS:
        for wording in fact["wordings"]:
            text = bare(wording)
            inner = {text.removeprefix(head).removesuffix(tail) for head, tail in (("", ""), *shells)}
            assert not inner & asked, f"the primer asks {wording!r} too; change the primer"


def test_no_value_of_the_benchmark_stands_in_documents_or_examples() -> None:
    values = [fact["value"].casefold() for fact in FACTS]
    told = (m["content"] for row in itertools.islice(examples(0, 3000), 3000) for m in row["messages"])
    for text in itertools.chain(told, (d.text for d in documents(0, 3000))):
        assert not [value for value in values if value in text.casefold()], text


def test_unknown_questions_are_answered_honestly_and_hold_no_pair() -> None:
    rng = random.Random(0)
    drawn = [unknown_question(rng, lang) for lang in ("zh", "en") for _ in range(2000)]
    assert len(set(drawn)) > 2500
    assert not any(holds_reserved_pair(question) for question in drawn)
    rows = [row for row in examples(1, 2000) if row["task"] == "unknown"]
    assert len(rows) > 80
    assert {row["messages"][-1]["content"] for row in rows} == set(NOT_TAUGHT.values())
