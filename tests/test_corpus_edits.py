import re
from collections.abc import Callable

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from feilun.corpus.edits import (
    EDIT_LIST,
    EDIT_SCHEMA,
    Edit,
    Edited,
    apply_edits,
    by_row,
    decodings,
    edit_texts,
    joined,
    trimmed,
    undo_edits,
    unedited,
    withheld,
)  # fmt: skip


def each(pattern: str, after: str) -> Callable[[str], list[Edit]]:
    return lambda text: [Edit(found.start(), found[0], after) for found in re.finditer(pattern, text)]


RULES = (("double", "a", "aa"), ("cut", "b+", ""), ("swap", "aa", "汉"), ("grow", "汉?c", "c汉c"), ("empty", "(?=d)", "·"))


def run(texts: pl.Series, rules: tuple[tuple[str, str, str], ...] = RULES) -> Edited:
    parts = []
    for name, pattern, after in rules:
        flags = texts.str.contains(pattern.replace("(?=d)", "d"))
        texts, edits = edit_texts(texts, flags, name, each(pattern, after))
        parts.append(edits)
    return Edited(texts, joined(parts))


def restored(edited: Edited) -> list[str]:
    return [undone.text for undone in undo_edits(edited.texts, edited.edits)]


SMALL = settings(max_examples=40, deadline=None, database=None, derandomize=True)
TEXTS = st.lists(st.text("abcd汉。", max_size=12), min_size=1, max_size=4)


@SMALL
@given(TEXTS)
def test_steps_can_be_done_again_and_undone(raws: list[str]) -> None:
    texts = pl.Series(raws)
    edited = run(texts)
    expected = raws
    for _, pattern, after in RULES:
        expected = [re.sub(pattern, after, text) for text in expected]
    assert edited.texts.to_list() == expected
    assert apply_edits(texts, edited.edits).to_list() == expected
    assert restored(edited) == raws
    assert edited.edits.schema == pl.Schema(EDIT_SCHEMA)


@SMALL
@given(TEXTS)
def test_edits_joined_in_two_halves_are_the_edits_joined_at_once(raws: list[str]) -> None:
    first = run(pl.Series(raws), RULES[:2])
    then = run(first.texts, RULES[2:])
    assert joined([first.edits, then.edits]).equals(run(pl.Series(raws)).edits)


def test_texts_that_are_not_flagged_are_not_looked_at() -> None:
    def find(text: str) -> list[Edit]:
        assert text == "flagged"
        return [Edit(0, "f", "F")]

    texts = pl.Series(["plain", "flagged", "plain"])
    edited = edit_texts(texts, texts == "flagged", "capital", find)
    assert edited.texts.to_list() == ["plain", "Flagged", "plain"]
    assert edited.edits.rows() == [(1, 0, "capital", 0, 1, "f", "F")]
    assert unedited(texts).edits.schema == edited.edits.schema


@SMALL
@given(TEXTS)
def test_a_redaction_stays_and_all_around_it_is_undone(raws: list[str]) -> None:
    raws = [f"{raw}c zzz b{raw}" for raw in raws]
    first = run(pl.Series(raws), RULES[:4])
    hidden = edit_texts(first.texts, first.texts.str.contains("zzz"), "redact", each("zzz", "<X>"))
    edits = joined([first.edits, withheld(hidden.edits)])
    undone = undo_edits(hidden.texts, edits)
    # What was inside the redaction cannot come back; every edit beside it does.
    assert [u.text for u in undone] == [raw.replace("zzz", "<X>") for raw in raws]
    assert {u.num_withheld for u in undone} == {1}


def test_an_edit_inside_a_redaction_is_withheld_with_it() -> None:
    raws = pl.Series(["call 138 0013 8000, b now b"])
    every = raws.is_not_null()
    spaces = edit_texts(raws, every, "spaces", each(r"(?<=\d) (?=\d)", ""))
    letters = edit_texts(spaces.texts, every, "cut", each("b", ""))
    phone = edit_texts(letters.texts, every, "phone", each(r"\d{11}", "<P>"))
    edits = joined([spaces.edits, letters.edits, withheld(phone.edits)])
    assert edits.select("rule", "before").rows() == [("spaces", None), ("spaces", None), ("cut", "b"), ("cut", "b"), ("phone", None)]
    (undone,) = undo_edits(phone.texts, edits)
    assert (undone.text, undone.num_withheld) == ("call <P>, b now b", 3)
    assert not re.search(r"\d", "".join(edits["after"]))


def test_a_redaction_of_what_an_edit_put_there_hides_the_edit() -> None:
    raws = pl.Series(["x ZmljdGlvbg== y b"])
    decoded = edit_texts(raws, raws.is_not_null(), "decode", lambda text: [Edit(2, "ZmljdGlvbg==", "to me@x.org")])
    cut = edit_texts(decoded.texts, raws.is_not_null(), "cut", lambda text: [Edit(text.rindex("b"), "b", "")])
    mail = edit_texts(cut.texts, raws.is_not_null(), "mail", lambda text: [Edit(5, "me@x.org", "<M>")])
    edits = joined([decoded.edits, cut.edits, withheld(mail.edits)])
    (undone,) = undo_edits(mail.texts, edits)
    assert undone.text == "x to <M> y b"
    assert "me@" not in str(edits.rows())


def test_lists_by_row_keep_every_edit_and_name_the_encoding() -> None:
    texts = pl.Series(["bb", "x", "abd"])
    edited = run(texts)
    edits = joined([decodings(pl.Series(["utf-8", "gb18030", "utf-8"])), edited.edits])
    lists = by_row(edits, 3)
    assert lists.dtype == EDIT_LIST
    assert [[(edit["step"], edit["rule"]) for edit in row] for row in lists.to_list()] == [
        [(0, "cut")], [(0, "gb18030_to_utf8")], [(0, "double"), (1, "cut"), (2, "swap"), (3, "empty")],
    ]  # fmt: skip
    assert restored(Edited(edited.texts, edits)) == texts.to_list()


@SMALL
@given(st.text("ab汉", max_size=6), st.text("ab汉", max_size=6))
def test_a_trimmed_edit_says_the_same_in_fewer_characters(before: str, after: str) -> None:
    edit = trimmed(0, before, after)
    assert before[: edit.offset] + edit.after + before[edit.offset + len(edit.before) :] == after
    assert not (edit.before and edit.after and (edit.before[0] == edit.after[0] or edit.before[-1] == edit.after[-1]))
