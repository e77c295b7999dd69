"""Blind choices between two measured generations."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from feilun.population.blind import blind_choices, main
from feilun.population.people import Judgement, prefer
from feilun.types import UserError

RIGHT, WRONG, LONG = [], ["wrong"], ["too_long"]


def rows(*faults: list[str], user: str = "u0") -> list[dict[str, Any]]:
    return [{"user": user, "id": f"p{i}", "accepted": not found, "faults": found} for i, found in enumerate(faults)]


def test_right_beats_wrong_then_fewer_faults_win() -> None:
    def thought(*faults: str) -> Judgement:
        return Judgement(not faults, faults)

    assert prefer(thought("wrong"), thought("language", "too_long")) == "second"
    assert prefer(thought(), thought("too_long")) == "first"
    assert prefer(thought(), thought()) == "tie"
    assert prefer(thought("too_long"), thought("too_short")) == "both_bad"
    assert prefer(thought("wrong"), thought("wrong")) == "both_bad"


def test_a_share_is_of_decided_choices_alone() -> None:
    before = rows(WRONG, WRONG, WRONG, RIGHT, RIGHT, WRONG) + rows(LONG, WRONG, user="u1")
    after = rows(RIGHT, RIGHT, LONG, WRONG, RIGHT, WRONG) + rows(RIGHT, RIGHT, user="u1")
    found = blind_choices(before, after, 0)
    assert {key: found[key] for key in ("wins", "losses", "ties", "both_bad")} == {"wins": 5, "losses": 1, "ties": 1, "both_bad": 1}
    assert found["share"]["n"] == 6
    assert found["users"] == 2
    assert found["share"]["mean"] == pytest.approx(5 / 6)
    assert found["share"]["low"] < 5 / 6 <= found["share"]["high"]
    mirrored = blind_choices(after, before, 0)
    assert (mirrored["wins"], mirrored["losses"]) == (1, 5)
    assert found == blind_choices(before, after, 0)


def test_intervals_are_over_whole_users() -> None:
    def judged(better: int, user: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return rows(*[WRONG if better else RIGHT] * 20, user=user), rows(*[RIGHT if better else WRONG] * 20, user=user)

    pairs = [judged(n % 2, f"u{n}") for n in range(12)]
    before, after = ([row for pair in pairs for row in pair[side]] for side in (0, 1))
    alike = blind_choices(before, after, 0)["share"]
    assert alike["n"] == 240
    assert alike["high"] - alike["low"] > 0.3


def test_nothing_decided_has_no_share_and_other_judges_are_an_error() -> None:
    same = rows(RIGHT, WRONG)
    assert blind_choices(same, same, 0)["share"] == {"mean": None, "low": None, "high": None, "n": 0}
    with pytest.raises(UserError, match=r"other judges or prompts \(2 differ\)"):
        blind_choices(same, rows(RIGHT, RIGHT, user="u1")[:1] + same[:1], 0)


def test_the_command_says_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, part in (("a", rows(WRONG)), ("b", rows(RIGHT)), ("c", rows(RIGHT, RIGHT))):
        (tmp_path / name).write_text(json.dumps({"rows": part, "seed": 0}), encoding="utf-8")
    command = [sys.executable, "-m", "feilun.population.blind", str(tmp_path / "a"), str(tmp_path / "b")]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert said == blind_choices(rows(WRONG), rows(RIGHT), 0)
    assert main([str(tmp_path / "a"), str(tmp_path / "c")]) == 2
    assert "measure both with the same list" in capsys.readouterr().err
