"""How often one principal may act, by a clock in hand and at the doors of a live server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serve_house import ask, error_of, open_house, thumb

from feilun.serve.errors import ApiError
from feilun.serve.rate import KEPT_BEFORE_SWEEP, Rate


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(rate: Rate, who: str, acts: int = 1) -> bool:
    try:
        rate.take(who, acts)
    except ApiError:
        return False
    return True


def test_a_minutes_worth_at_once_then_one_by_one():
    clock = Clock()
    rate = Rate(6, clock=clock)
    assert [taken(rate, "ann") for _ in range(8)] == [True] * 6 + [False] * 2
    assert taken(rate, "bob"), "another's bucket is another"
    with pytest.raises(ApiError) as refused:
        rate.take("ann")
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, "10")
    clock.now += 10
    assert [taken(rate, "ann"), taken(rate, "ann")] == [True, False]
    clock.now += 3600
    assert sum(taken(rate, "ann") for _ in range(20)) == 6


@given(st.integers(1, 50), st.lists(st.tuples(st.floats(0, 30), st.integers(1, 8)), max_size=60))
def test_no_more_than_the_rate_in_the_long_run_and_the_promised_wait_is_enough(per_minute, moves):
    clock = Clock()
    rate, counted = Rate(per_minute, clock=clock), 0
    for wait, acts in moves:
        clock.now += wait
        try:
            rate.take("ann", acts)
        except ApiError as error:
            clock.now += int(error.headers["Retry-After"])
            assert taken(rate, "ann", acts)
        counted += acts
        # What is taken from a full bucket beyond its size is paid for before anything else.
        assert counted <= per_minute + (clock.now - 100) * per_minute / 60 + max(acts - per_minute, 0) + 1e-6


def test_those_whose_bucket_is_full_are_not_remembered():
    clock = Clock()
    rate = Rate(60, clock=clock)
    for number in range(3 * KEPT_BEFORE_SWEEP):
        clock.now += 1
        rate.take(f"key:app/{number}")
    assert len(rate._full_at) <= KEPT_BEFORE_SWEEP + 1


def test_both_doors_name_the_wait_and_nothing_is_recorded(tmp_path):
    with (
        open_house(tmp_path, first="first", feedback_per_minute=2, answers_per_minute=3) as house,
        house.client(house.key("app", "chat", "feedback", "assert_end_user")) as app,
    ):
        answers = [app.post("/v1/chat/completions", json=ask("x", user="ann")) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert error_of(answers[3], 429)["code"] == "rate_limited"
        assert 0 < int(answers[3].headers["retry-after"]) <= 20
        page = app.post("/api/chat", json={"text": "x", "n": 3})
        assert page.status_code == 200, "the key's own bucket is not its end user's"
        assert app.post("/api/chat", json={"text": "x"}).status_code == 429

        target, seen = answers[0].json()["id"], []
        for number, value in enumerate((1, -1, 1)):
            said = app.post("/v1/feedback", json=thumb(target, value, end_user="ann"), headers={"Idempotency-Key": str(number)})
            seen.append(said.status_code)
        assert seen == [200, 200, 429]
        assert int(said.headers["retry-after"]) >= 1
        assert [vote.value for vote in house.store.current_votes()] == [-1]
        other = app.post("/v1/chat/completions", json=ask("x", user="bob")).json()["id"]
        told = app.post("/v1/feedback", json=thumb(other, end_user="bob"), headers={"Idempotency-Key": "b"})
        assert told.status_code == 200


def test_nought_limits_nothing(tmp_path):
    with (
        open_house(tmp_path, first="first", feedback_per_minute=0, answers_per_minute=0) as house,
        house.client(house.key("app", "chat", "feedback")) as app,
    ):
        target = app.post("/v1/chat/completions", json=ask("x")).json()["id"]
        told = [app.post("/v1/feedback", json=thumb(target), headers={"Idempotency-Key": str(n)}).status_code for n in range(20)]
        assert set(told) == {200}
