"""What is kept by sequence number is what reading the whole log gives, whatever happened in between; so are the lessons made of it."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from test_durability import ANSWERS, RATERS, act

from feilun.feedback import LessonRules, build_lessons, curate
from feilun.feedback.lessons import lessons_report, pair_rows, sft_rows
from feilun.store import CompletionRecord, CurrentVote, FeedbackRequest, Store, kept, spread, without_ids
from feilun.store.folding import fold, in_order
from feilun.store.schema import kept_votes
from feilun.types import Consent, Decision

KINDS = ["thumb", "edit", "choice", "comment", "take back", "replace", "private", "expire", "forget", "look"]
happenings = st.lists(
    st.tuples(st.sampled_from(RATERS), st.sampled_from(ANSWERS), st.sampled_from([*KINDS, "look"]), st.integers(0, 5)), max_size=24
)


def ask(store: Store, rater: str, name: str, question: str, consent: Consent = Consent.IMPROVE) -> None:
    """An answer to a follow-up question, so that there is something above it that may be asked in private. Two of three say the same."""
    asked = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}, {"role": "user", "content": question}]
    choice = {"index": 0, "text": "yes" if name in ("0", "1") else name, "finish_reason": "stop", "num_tokens": 1}
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


def taught(votes: list[CurrentVote]) -> tuple[object, ...]:
    made = curate(votes, None, LessonRules())
    return sft_rows(made.lessons), pair_rows(made.lessons), lessons_report(made)


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
                assert spread(store.folded_votes(store.last_seq())) == store.current_votes()
                assert store.folded_votes(store.last_seq()) == in_order(fold(store.current_votes()))
            else:
                happen(store, number, rater, answer, kind, given_number)
        half = store.last_seq() // 2
        assert spread(store.folded_votes(half)) == store.current_votes(half)
        folded, withheld = store.folded_votes(store.last_seq()), {event.id for event in store.events()[::3]}
        assert spread(without_ids(folded, withheld)) == [vote for vote in store.current_votes() if vote.id not in withheld]
        assert taught(folded) == taught(store.current_votes())
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
            assert spread(found.votes) == store.current_votes()
            assert len(found.fresh.columns["seq"]) == 1
            store._database.write(lambda c, found=found: kept.keep(c, found))
        assert 1 <= num_kept(store) <= 9
        act(store, RATERS[0], "0", "edit", 2)
        late = store._database.read(lambda c: kept.read(c, store.last_seq()))
        store.forget(RATERS[0])
        store._database.write(lambda c: kept.keep(c, late))
        assert num_kept(store) == 0
        assert spread(store.folded_votes(store.last_seq())) == []


def test_what_somebody_says_again_and_again_is_one_vote_until_it_is_taken_back(tmp_path: Path) -> None:
    who, other = RATERS
    with Store.open(tmp_path) as store:

        def praise(number: int, rater: str = who) -> str:
            asked = [{"role": "user", "content": "a needle?"}]
            answered = [{"index": 0, "text": "a haystack", "finish_reason": "stop", "num_tokens": 1}]
            about = {"id": f"{rater}/{number}", "principal": rater, "model": "m", "thread_id": f"t{number}"}
            made = CompletionRecord(**about, messages=asked, choices=answered, decision=Decision(engine="e", model="m"))
            store.record_completion(made)
            return store.record_feedback(FeedbackRequest(principal=rater, target_id=made.id, kind="thumb", value=1)).id

        given = []
        for number in range(4):
            given.append(praise(number))
            (vote,) = store.folded_votes(store.last_seq())
            assert (vote.ids, vote.times) == (given, number + 1)
        praise(9, other)
        for number in (3, 1):  # the newest, for which an older one stands then, and one in the midst
            taken = FeedbackRequest(principal=who, target_id=f"{who}/{number}", kind="thumb", value=None, supersedes=given[number])
            store.record_feedback(taken)
        mine, theirs = store.folded_votes(store.last_seq())
        assert (mine.ids, mine.thread_id, theirs.times) == ([given[0], given[2]], "t2", 1)
        raw = (tmp_path / "feilun.db").read_bytes() + (tmp_path / "feilun.db-wal").read_bytes()
        assert raw.count(b"haystack") > 1
        store.forget(who)
        store.forget(other)
        assert not [path for path in tmp_path.iterdir() if b"needle" in path.read_bytes() or b"haystack" in path.read_bytes()]


def test_the_owners_conversations_are_held_out_one_by_one_and_so_not_joined(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for number in range(3):
            ask(store, "owner", str(number), "and?")
            store.record_feedback(FeedbackRequest(principal="owner", target_id=f"owner/{number}", kind="thumb", value=1))
        apart = store.folded_votes(store.last_seq())
        assert [vote.times for vote in apart] == [2, 1]
        elsewhere = [vote._replace(thread_id=f"t{vote.seq}") for vote in store.current_votes()]
        assert len(fold(elsewhere)) == 3
