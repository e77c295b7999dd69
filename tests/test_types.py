import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feilun.types import ROLES, Conversation, Message, Pair, Part, UserError, is_held_out

# Fixed for ever, and checked with `b2sum -l 64`: a changed rule would let people who only measured begin to teach.
HELD_OUT = ["owner", "key:demo/user-05", "key:demo/u11", "key:demo/u20"]
TEACHING = ["key:demo/u1", "key:demo/u2", "user:42", ""]


def test_who_is_held_out_never_changes():
    assert [is_held_out(p) for p in HELD_OUT] == [True] * len(HELD_OUT)
    assert [is_held_out(p) for p in TEACHING] == [False] * len(TEACHING)


def test_one_in_five_is_held_out():
    assert 0.18 < sum(is_held_out(f"key:k/{i}") for i in range(10_000)) / 10_000 < 0.22


@given(st.lists(st.tuples(st.sampled_from(ROLES), st.text()), min_size=1, max_size=6))
def test_conversations_survive_json(turns):
    made = Conversation(tuple(Message.of(role, text) for role, text in turns))
    assert Conversation.from_json(made.to_json()) == made


def test_content_may_be_a_string_or_text_parts():
    parts = [{"type": "text", "text": "9.11 和 "}, {"type": "text", "text": "9.8"}]
    assert Message.from_json({"role": "user", "content": parts}).text == "9.11 和 9.8"
    assert Part("x").to_json() == {"type": "text", "text": "x"}


def test_of_alternates_and_then_adds():
    made = Conversation.of("hi", "hello").then("user", "bye")
    assert [(m.role, m.text) for m in made.messages] == [("user", "hi"), ("assistant", "hello"), ("user", "bye")]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"role": "robot", "content": "x"}, "'robot' is unknown; allowed: system, user, assistant"),
        ({"role": "user", "content": 3}, "found int"),
        ({"role": "user", "content": []}, "non-empty list"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "'image_url' is not supported"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "not supported"),
        ({"role": "user", "content": ["x"]}, "'str' is not supported"),
    ],
)
def test_bad_messages_are_errors_that_say_what_was_found(row, said):
    with pytest.raises(UserError, match=said):
        Message.from_json(row)


@pytest.mark.parametrize("rows", [[], None, "hi", {"role": "user"}])
def test_a_conversation_is_a_list_with_something_in_it(rows):
    with pytest.raises(UserError, match="non-empty list"):
        Conversation.from_json(rows)


def test_nouns_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Pair(prompt=Conversation.of("a"), chosen="b", rejected="c").chosen = "d"  # type: ignore[misc]
