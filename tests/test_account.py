"""A turn in plain words."""

import pytest
from owner_house import NO_EXAMS, SETTINGS, correct, drill, make_home, owner_turn

from feilun.artifacts import find
from feilun.cli import main
from feilun.feedback.account import LANGUAGES, account_of, kept_account
from feilun.store import Store
from feilun.turn import abandon, receipt_faults
from feilun.turn.forget import forget
from feilun.types import UserError


def account(home, language, number=-1):
    with Store.open(home) as store:
        return account_of(home, store.turns()[number], language)


def test_a_turn_says_what_was_learnt_and_what_became_of_it(home, capsys):
    make_home(home)
    correct(home, "what is the capital of the moon?", "there is none, my friend")
    assert owner_turn(home, NO_EXAMS).verdict == "promoted"
    said = account(home, "en")
    assert said.startswith("# turn-1: the new model answers now\n\n## What was learnt\n\nLessons: 1; comparisons: 1; people: 1; acts of")
    assert "Of these: 1 edit." in said
    assert "Of 1 corrections that were asked, 1 are answered as taught." in said
    assert "- taught: 0.0% → 100.0% (" in said
    assert "n = 1), no sure difference" in said
    assert "moon" not in said
    chinese = account(home, "zh")
    assert chinese.startswith("# turn-1: 新模型现在开始回答\n\n## 学到了什么\n\n1 条教材、1 组比较，来自 1 个人的 1 次反馈。")
    assert main(["--home", str(home), "show", "turn-1", "--lang", "zh"]) == 0
    assert capsys.readouterr().out == chinese
    with pytest.raises(UserError, match="zh, en"):
        account(home, "fr")
    # A person's words are in none of it, and what it was made from may go.
    forget(home, "owner")
    assert "The lessons of this turn were erased since" in account(home, "en")
    assert "- taught: 0.0% → 100.0% (" in account(home, "en")


def test_a_refusal_says_why(home):
    make_home(home)
    correct(home, "which?", "this one here")
    drill(home, candidate={"number_near": 0.2})
    assert owner_turn(home, SETTINGS).verdict == "refused"
    said = account(home, "en")
    assert said.startswith("# turn-1: the new model was refused")
    assert "- number_near: 90.0% → 20.0%" in said
    assert "), worse, not good enough" in said
    assert "## Why" in said


def test_a_turn_that_had_nothing_to_do(home):
    make_home(home)
    assert owner_turn(home, NO_EXAMS).verdict == "refused"
    assert "nothing was compared" in account(home, "en")
    assert "没有比较过什么" in account(home, "zh")


def test_the_account_is_kept_beside_the_receipt_as_it_was_when_the_turn_ended(home):
    make_home(home)
    correct(home, "what is the capital of the moon?", "there is none, my friend")
    promoted = owner_turn(home, NO_EXAMS)
    with Store.open(home) as store:
        (turn,) = store.turns()
        told = {language: account_of(home, turn, language) for language in LANGUAGES}
        (row,) = [row for row in store.receipts(turn.id) if row.gate == "account"]
        kept = find(home, row.body["inputs"]["account"])
        assert {language: (kept.path / f"account.{language}.md").read_text(encoding="utf-8") for language in LANGUAGES} == told
        assert list(kept.parents) == [promoted.outputs["curate"]["lessons"], promoted.outputs["gate"]["receipt"]]
        assert (row.body["verdict"], receipt_faults(home, store)) == ("promoted", [])
        forget(home, "owner")
        assert kept_account(home, store, turn, "zh") == told["zh"] != account_of(home, turn, "zh")
        (kept.path / "account.zh.md").unlink()
        assert kept_account(home, store, turn, "zh") == account_of(home, turn, "zh")


def test_a_turn_that_was_given_up_has_an_account_too(home):
    make_home(home)
    with Store.open(home) as store:
        store.start_turn({"name": "turn-1", "champion": {"model": "m", "epoch": 1}})
        abandon(home, "no space left")
        (turn,) = store.turns()
        assert "no space left" in kept_account(home, store, turn, "en").partition("## Why")[2]
        assert [row.gate for row in store.receipts(turn.id)] == ["plan", "account"]
