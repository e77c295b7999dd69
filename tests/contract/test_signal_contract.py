"""What every kind of feedback promises about what it teaches."""

from typing import Any, get_args, get_type_hints

import pytest

from feilun.feedback import SIGNALS
from feilun.store import CurrentVote, Sibling
from feilun.store.rows import KINDS
from feilun.types import Consent, FeedbackEvent

VALUES: dict[str, list[Any]] = {
    "thumb": [1, -1],
    "edit": ["a better answer", "an answer", " An answer. "],
    "choice": [{"over": [{"id": "c2", "index": 0}], "outcome": outcome} for outcome in ("win", "tie", "both_bad")],
    "comment": ["nice"],
    "report": ["rude"],
    "implicit": [{"name": "copy", "n": 1}, {"name": "regenerate", "n": 2}],
}
CASES = [(kind, value) for kind, values in VALUES.items() for value in values]


def vote(kind: str, value: Any) -> CurrentVote:
    return CurrentVote(
        seq=1, id="e1", at=0.0, principal="key:app/ann", target_id="c1", target_index=0, kind=kind, value=value, reason=(),
        consent=Consent.IMPROVE, thread_id="t", model="m", prompt=({"role": "user", "content": "a question"},), answer="an answer",
        over=(Sibling(id="c2", index=0, text="another answer", model="m"),) if kind == "choice" else (),
    )  # fmt: skip


def test_the_kinds_are_one_list_everywhere() -> None:
    assert tuple(SIGNALS) == get_args(get_type_hints(FeedbackEvent)["kind"])
    assert set(SIGNALS) == set(KINDS) == set(VALUES)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_describes_itself(name: str) -> None:
    signal = SIGNALS[name]
    assert signal.name == name
    assert 0 <= signal.trust <= 1
    assert signal.level in ("answer", "siblings")


@pytest.mark.parametrize(("kind", "value"), CASES)
def test_a_vote_teaches_or_is_counted_and_the_same_each_time(kind: str, value: Any) -> None:
    made = SIGNALS[kind].lessons(vote(kind, value))
    assert (made.text is None) == bool(made.counted)
    assert made == SIGNALS[kind].lessons(vote(kind, value))
    assert 0 < made.share <= 1
    assert all(pair.chosen == made.text != pair.rejected for pair in made.pairs)
    assert made.text is None or SIGNALS[kind].trust > 0


@pytest.mark.parametrize(("kind", "value"), [case for case in CASES if case[0] in ("comment", "report", "implicit") or case[1] == -1])
def test_words_hints_and_thumbs_down_never_become_a_row(kind: str, value: Any) -> None:
    made = SIGNALS[kind].lessons(vote(kind, value))
    assert (made.text, made.pairs) == (None, ())


def test_an_edit_outweighs_a_thumb() -> None:
    assert SIGNALS["edit"].trust > SIGNALS["thumb"].trust >= SIGNALS["choice"].trust > SIGNALS["implicit"].trust
