"""What is kept by sequence number is what reading the whole log gives, whatever happened in between; so are the lessons made of it."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from test_durability import ANSWERS, RATERS, act

from feilun.feedback import build_lessons
from feilun.store import CompletionRecord, Store, kept
from feilun.store.schema import kept_votes
from feilun.types import Consent, Decision

KINDS = ["thumb", "edit", "choice", "comment", "take back", "replace", "private", "expire", "forget", "look"]
happenings = st.lists(
    st.tuples(st.sampled_from(RATERS), st.sampled_from(ANSWERS), st.sampled_from([*KINDS, "look"]), st.integers(0, 5)), max_size=24
)


def ask(store: Store, rater: str, name: str, question: str, consent: Consent = Consent.IMPROVE) -> None:
    """An answer to a follow-up question, so that there is something above it that may be asked in private."""
    asked = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}, {"role": "user", "content": question}]
    choice = {"index": 0, "text": name, "finish_reason": "stop", "num_tokens": 1}
    made = CompletionRecord(
        id=f"{rater}/{name}", principal=rater, model="m", thread_id="t", messages=asked if question else asked[:1], choices=[choice],
        decision=Decision(engine="echo", model="m"), consent=consent,
    )  # fmt: skip
    store.record_completion(made)


def happen(store: Store, number: int, rater: str, answer: str, kind: str, given_number: int) -> None:
    if kind == "private":  # the first question of the thread, or the second, once more
        ask(store, rater, f"private{number}", "and?" if given_number % 2 else "", Consent.SERVE)
    elif kind == "expire":
        store.expire([], [event.id for event in store.events()[given_number : given_number + 1]])
    elif kind == "forget":
        store.forget(rater)
    else:
        act(store, rater, answer, kind, given_number)


def num_kept(store: Store) -> int:
    return store._database.read(lambda c: len(c.execute(kept_votes.select()).all()))


@given(happenings)
@settings(max_examples=25, deadline=None)
def test_kept_votes_and_their_lessons_are_those_of_a_reading_from_the_beginning(given_happenings) -> None:
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        for rater in RATERS:
            for name in ANSWERS:
                ask(store, rater, name, "and?")
        for number, (rater, answer, kind, given_number) in enumerate(given_happenings):
            if kind == "look":
                assert store.kept_votes(store.last_seq()) == store.current_votes()
            else:
                happen(store, number, rater, answer, kind, given_number)
        half = store.last_seq() // 2
        assert store.kept_votes(half) == store.current_votes(half)
        kept_lessons = build_lessons(store, Path(folder, "kept"), "of-all", gold=None)
        store._database.write(kept.drop)
        assert build_lessons(store, Path(folder, "new"), "of-all", gold=None).hash == kept_lessons.hash


def test_what_is_read_again_is_little_and_an_erasure_leaves_none(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for name in map(str, range(200)):
            ask(store, RATERS[0], name, "and?")
            act(store, RATERS[0], name, "edit", 1)
            found = store._database.read(lambda c: kept.read(c, store.last_seq()))
            assert found.fresh is not None
            assert len(found.votes) == len(store.current_votes())
            assert len(found.fresh.columns["seq"]) == 1
            store._database.write(lambda c, found=found: kept.keep(c, found))
        assert 1 <= num_kept(store) <= 9
        act(store, RATERS[0], "0", "edit", 2)
        late = store._database.read(lambda c: kept.read(c, store.last_seq()))
        store.forget(RATERS[0])
        store._database.write(lambda c: kept.keep(c, late))
        assert num_kept(store) == 0
        assert store.kept_votes(store.last_seq()) == []
