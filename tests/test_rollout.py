"""Shadow, canary, holdback: what takes a candidate back and what does not, in the store alone; kills, receipts, and false alarms."""

import dataclasses
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rollout_house import NAMES, QUICK, ask, at_share, begin, complain, crowd, mirror, through_shadow, to_share
from serve_house import until

from benchmarks.rollouts import roll_out
from feilun.cli import main
from feilun.config import PreferSettings, RolloutSettings, TurnSettings, apply_settings
from feilun.feedback import build_lessons
from feilun.feedback.account import kept_account
from feilun.stats import harm_seen, harms_to_fire, log_e_first_harms
from feilun.status import nobody_looks
from feilun.store import CompletionRecord, Conflict, FeedbackRequest, Mirror, NotFound, RolloutMove, Store
from feilun.turn import receipt_faults, rolling, run_turn
from feilun.turn.watch import WATCH_NOTE
from feilun.types import Decision, UserError


@pytest.fixture
def store(tmp_path: Path):
    with Store.open(tmp_path / "home") as store:
        yield store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


# the statistic


def test_the_harm_of_equal_models_fires_no_oftener_than_it_says_and_a_doubling_is_found():
    rng, level = np.random.default_rng(3), np.log(1 / 0.05)

    def fires(lot: float, ratio: float) -> bool:
        odds = lot * ratio / (1 - lot + lot * ratio)
        after = (rng.random(400) < odds).cumsum()
        return any(log_e_first_harms({lot: (n - int(after[n - 1]), int(after[n - 1]))}) >= level for n in range(1, 401, 3))

    assert sum(fires(0.25, 1.0) for _ in range(200)) <= 10
    assert sum(fires(0.25, 0.5) for _ in range(50)) == 0
    assert sum(fires(0.25, 2.0) for _ in range(50)) >= 45


def test_harm_multiplies_over_lots_and_is_the_mean_of_likelihood_ratios():
    one, other = {0.1: (20, 9)}, {0.5: (10, 21)}
    both = log_e_first_harms({**one, **other})
    assert both > max(log_e_first_harms(one), log_e_first_harms(other)) > 0
    ratios = np.geomspace(1.2, 12.0, 16)
    by_hand = np.mean([(r / (0.9 + 0.1 * r)) ** 9 * (1 / (0.9 + 0.1 * r)) ** 20 for r in ratios])
    assert log_e_first_harms(one) == pytest.approx(np.log(by_hand))
    assert log_e_first_harms({}) == 0.0
    with pytest.raises(UserError, match="between 0 and 1, found 1"):
        log_e_first_harms({1.0: (1, 1)})


def test_how_many_more_would_fire_and_what_could_have_been_seen():
    firsts, level = {0.25: (10, 3)}, 5.0
    more = harms_to_fire(firsts, 0.25, level)
    assert log_e_first_harms({0.25: (10, 3 + more)}) >= level > log_e_first_harms({0.25: (10, 2 + more)})
    assert harm_seen({}, level) == np.inf
    assert harm_seen({0.25: 100}, level) > harm_seen({0.25: 400}, level) > 1.2


# the settings


def test_settings_say_what_they_allow():
    settings = apply_settings(TurnSettings(), ["rollout=staged", "staged.shares=0.1,0.3"])
    assert (settings.rollout, settings.staged.shares) == ("staged", (0.1, 0.3))
    for wrong in (
        "rollout=slow",
        "staged.shares=0.3,0.1",
        "staged.shares=half",
        "staged.shares=1.0",
        "staged.alpha=2",
        "staged.sees_ratio=1",
        "staged.holdback_share=0.5",
        "staged.shares=0.5,0.95",
    ):
        with pytest.raises(UserError, match="allowed are"):
            apply_settings(TurnSettings(), [wrong])


# the way to everybody


def test_a_harmless_candidate_comes_to_everybody_step_by_step(home, store):
    row = through_shadow(home, store, begin(home, store))
    shares = []
    while row.stage == "canary":
        assert store.champion().model == row.champion
        shares.append(row.share)
        crowd(store, row, 120)
        row = rolling.look(home, store)
    assert shares == [0.01, 0.05, 0.25, 0.5]
    assert (row.stage, row.share, store.champion().model) == ("holdback", 0.95, row.candidate)
    turn = store.turn(row.turn_id)
    assert turn.state == "promoted"
    (told,) = [receipt.body for receipt in store.receipts(turn.id) if receipt.gate == "account"]
    assert told["verdict"] == "promoted"
    assert kept_account(home, store, turn, "en").startswith("# turn-1: the new model answers now")
    assert rolling.look(home, store).stage == "holdback"
    assert rolling.look(home, store, now=row.since + 8 * 86_400).stage == "closed"
    assert store.rollout() is None
    assert store.withheld_events() == {}
    gates = [receipt.gate for receipt in store.receipts(row.turn_id)]
    assert gates == ["plan", "g1", "rollout", "g2", *["g3"] * 4, "account", "g4"]
    assert receipt_faults(home, store) == []


def test_without_a_holdback_it_ends_with_everybody(home, store):
    row = at_share(home, store, 0.5, dataclasses.replace(QUICK, holdback_share=0.0))
    crowd(store, row, 120, lambda who, arm: who.endswith(("1", "3", "5")))
    row = rolling.look(home, store)
    assert (row.stage, row.finished is not None, store.champion().model) == ("closed", True, row.candidate)
    assert store.receipts()[-2].body["figures"]["complaints_seen"] > 1.2


def test_the_next_candidate_ends_a_holdback_and_waits_for_an_earlier_step(home, store):
    first = at_share(home, store, 0.95)
    second = begin(home, store, name="turn-2")
    assert [(row.id, row.stage) for row in store.rollouts()] == [(first.id, "closed"), (second.id, "shadow")]
    assert (second.champion, store.champion().model) == (first.candidate, first.candidate)
    with pytest.raises(Conflict, match="one runs at a time"):
        begin(home, store, name="turn-3")


def test_people_stay_with_the_model_that_they_have(home, store):
    row = begin(home, store)
    had: set[str] = set()
    for share in (0.01, 0.05, 0.25, 0.5, 0.95):
        row = to_share(home, store, share)
        has = {who for who in NAMES if row.number_of(who) < row.share}
        assert had <= has
        assert len(has) / len(NAMES) == pytest.approx(share, abs=0.03)
        had = has
    assert [row.number_of(who) for who in NAMES[:3]] != [begin_again(row, who) for who in NAMES[:3]]


def begin_again(row, who: str) -> float:
    """The same person in another rollout."""
    return dataclasses.replace(row, plan={**row.plan, "salt": "another"}).number_of(who)


def test_a_step_waits_for_people_answers_and_time(home, store):
    settings = RolloutSettings(shadow_pairs=0, shadow_seconds=0, stage_users=20, stage_answers=30, stage_seconds=100, stage_max_seconds=200)
    row = begin(home, store, settings)
    row = rolling.look(home, store)
    assert row.stage == "canary"
    for who in NAMES[:12]:
        ask(store, row, who)
    assert waits(home, store, row) == "12 of 20 people and 12 of 30 answers so far"
    crowd(store, row, 60)
    assert waits(home, store, row).endswith("of this step are left")
    assert rolling.look(home, store, now=row.since + 101).step == 1
    row = to_share(home, store, 0.25)
    crowd(store, row, 60)
    assert "complaints would have been found, 2 times must be" in waits(home, store, row, 150)
    assert rolling.look(home, store, now=row.since + 201).share == 0.5


def waits(home: Path, store: Store, row, elapsed: float = 1.0) -> str:
    found = rolling.decide_rollout(row, rolling.seen_by(store, row), row.since + elapsed)
    assert found.verdict == "wait"
    return found.why


# taken back


def by_number(share: float):
    """That many of the candidate's people complain, and a tenth of that many of the champion's."""
    drawn = dict(zip(NAMES, np.random.default_rng(0).random(len(NAMES)), strict=True))
    return lambda who, arm: drawn[who] < (share if arm == "candidate" else share / 10)


@pytest.mark.parametrize("stage", ["canary", "holdback"])
def test_complaints_take_a_candidate_back_and_its_new_lessons_with_it(home, store, stage):
    ids = [ask_before(store, who) for who in NAMES[:3]]
    row = begin(home, store)
    share = 0.25 if stage == "canary" else 0.95
    row = to_share(home, store, share)
    crowd(store, row, 300, lambda who, arm: arm == "candidate")
    row = rolling.look(home, store)
    assert row.stage == "rolled_back"
    assert row.why.startswith(f"taken back in the {stage} at {share:.0%}: complaint: ")
    assert store.champion().model == row.champion
    assert store.turn(row.turn_id).state == ("refused" if stage == "canary" else "promoted")
    assert row.candidate in store.quarantined()
    assert sorted(store.withheld_events()) == sorted(event.id for event in store.events()[: len(ids)])
    assert [receipt for receipt in store.receipts() if receipt.gate != "account"][-1].body["verdict"] == row.why
    with pytest.raises(Conflict, match="set aside"):
        store.set_champion(row.candidate, "by hand")


def ask_before(store: Store, who: str) -> str:
    """An edit that teaches, from before the rollout."""
    name = f"chatcmpl-{who}"
    store.record_completion(
        CompletionRecord(
            id=name, principal=who, model="m", thread_id=who, messages=[{"role": "user", "content": f"who is {who}?"}],
            choices=[{"index": 0, "text": "?", "finish_reason": "stop", "num_tokens": 1}], decision=Decision(engine="e", model="m"),
        )
    )  # fmt: skip
    store.record_feedback(FeedbackRequest(principal=who, target_id=name, kind="edit", value=f"{who} it is", idempotency_key=who))
    return name


def test_withheld_events_teach_nothing_until_they_are_released(home, store, capsys):
    for who in NAMES[:6]:
        ask_before(store, who)
    settings = TurnSettings(prefer=PreferSettings(replay="none"), min_trust=0.0)
    before = build_lessons(store, home, "before", gold=None, settings=settings)
    assert before.manifest["counts"]["num_rows"] > 0
    row = at_share(home, store, 0.25)
    crowd(store, row, 160, by_number(0.95))
    assert rolling.look(home, store).stage == "rolled_back"
    held = build_lessons(store, home, "held", gold=None, settings=settings, upto_seq=6)
    assert held.manifest["counts"]["num_rows"] == 0
    assert held.manifest["counts"]["dropped"]["withheld"] == 6
    assert main(["--home", str(home), "rollout", "status"]) == 0
    assert "6 events teach nothing" in capsys.readouterr().out
    assert main(["--home", str(home), "rollout", "release"]) == 0
    assert "6 events" in capsys.readouterr().out
    again = build_lessons(store, home, "again", gold=None, settings=settings, upto_seq=6)
    assert again.manifest["counts"]["num_rows"] == before.manifest["counts"]["num_rows"]
    assert main(["--home", str(home), "rollout", "release"]) == 2


SIGNALS = {
    "error": lambda store, row, who: ask(store, row, who, fault="error"),
    "slow": lambda store, row, who: ask(store, row, who, seconds=9.0),
    "regenerate": lambda store, row, who: [ask(store, row, who, asked=f"again {who}") for _ in range(2)],
}


@pytest.mark.parametrize("signal", list(SIGNALS))
def test_each_signal_takes_it_back(home, store, signal):
    row = at_share(home, store, 0.25)
    store.move_rollout(row, RolloutMove(stage="canary", step=row.step, gate="g3", body={}, slow_seconds=1.0))
    row = store.rollout()
    for who in NAMES[:80]:
        harmed = row.number_of(who) < row.share
        SIGNALS[signal](store, row, who) if harmed else ask(store, row, who)
    row = rolling.look(home, store)
    assert (row.stage, row.why.split(": ")[1]) == ("rolled_back", signal)


def test_one_person_is_one_voice_however_loud(home, store):
    row = at_share(home, store, 0.25)
    crowd(store, row, 60)
    loud = next(who for who in NAMES if row.share_before <= row.number_of(who) < row.share)
    for _ in range(80):
        complain(store, loud, ask(store, row, loud))
    assert rolling.seen_by(store, row).firsts["complaint"] == {row.lot: (0, 1)}
    assert rolling.look(home, store).finished is None


def test_who_had_the_candidate_before_draws_no_lot_again(home, store):
    row = at_share(home, store, 0.05)
    row = to_share(home, store, 0.25)
    for who in NAMES[:300]:
        if row.number_of(who) < 0.05:
            complain(store, who, ask(store, row, who))
    seen = rolling.seen_by(store, row)
    assert seen.firsts == {}
    assert (seen.crowds["candidate"].users > 0, seen.crowds["candidate"].drawn) == (True, 0)


def test_a_broken_split_ends_it_and_blames_nobody(home, store):
    row = at_share(home, store, 0.5)
    for who in NAMES[:300]:
        if row.number_of(who) >= row.share:
            ask(store, row, who)
    row = rolling.look(home, store)
    assert (row.stage, "the split is broken" in row.why, store.quarantined(), store.withheld_events()) == ("aborted", True, {}, {})
    assert store.turn(row.turn_id).state == "refused"


# the shadow


def test_the_shadow_judges_by_rules(home, store):
    row = begin(home, store)
    for number in range(4):
        mirror(store, row, number, fault="error" if number == 3 else "")
    row = rolling.look(home, store)
    assert row.stage == "rolled_back"
    assert "faults: 0.0% -> 25.0% of the mirrored answers" in row.why
    row = begin(home, store, name="turn-2")
    for number in range(4):
        mirror(store, row, number + 10, seconds=3.0)
    assert "seconds: 0.20 -> 3.00 in the middle" in rolling.look(home, store).why


def test_pairs_are_judged_blind_in_both_orders(home, store):
    row = begin(home, store, RolloutSettings(shadow_pairs=99))
    names = [mirror(store, row, number) for number in range(12)]
    places: dict[tuple[str, int], int] = {}
    while (pair := store.shadow.next_pair(row.id)) is not None:
        place = next(i for i, text in enumerate(pair.answers) if text.startswith("mirrored"))
        places[pair.completion_id, pair.slot] = place
        assert [message["role"] for message in pair.messages] == ["user"]
        # A judge who always takes the first says nothing of the models; the last two pairs have a judge who prefers the champion.
        chosen = 1 - place if pair.completion_id in names[-2:] else 0
        store.shadow.judge(pair.completion_id, pair.slot, "owner", chosen)
    assert {places[name, 0] + places[name, 1] for name in names} == {1}
    assert {places[name, 0] for name in names} == {0, 1}
    outcomes = [found.outcome for found in store.shadow.pairs(row.id)]
    assert outcomes == ["tie"] * 10 + ["champion"] * 2
    assert rolling.seen_by(store, row).firsts == {"judged": {0.5: (0, 2)}}
    store.shadow.judge(names[-1], 1, "owner", "undo")
    assert store.shadow.next_pair(row.id).completion_id == names[-1]
    with pytest.raises(NotFound, match="not judged by you"):
        store.shadow.judge(names[0], 1, "somebody", "undo")
    with pytest.raises(Conflict, match="judged in this order already"):
        store.shadow.judge(names[0], 0, "owner", 1)
    with pytest.raises(NotFound):
        store.shadow.judge("nothing", 0, "owner", 1)


def test_judges_who_prefer_the_champion_take_it_back(home, store):
    row = begin(home, store, RolloutSettings(shadow_pairs=99))
    for number in range(20):
        mirror(store, row, number)
    while (pair := store.shadow.next_pair(row.id)) is not None and pair.slot == 0:
        store.shadow.judge(pair.completion_id, 0, "owner", next(i for i, text in enumerate(pair.answers) if text.startswith("answer")))
    row = rolling.look(home, store)
    assert (row.stage, row.why.split(": ")[1]) == ("rolled_back", "judged")


def test_what_was_mirrored_goes_with_who_asked(home, store):
    row = begin(home, store)
    said = mirror(store, row, 0)
    assert b"mirrored 0" in raw(home)
    store.forget(NAMES[0])
    assert b"mirrored 0" not in raw(home)
    assert store.shadow.pairs(row.id) == []
    with pytest.raises(Conflict, match="is not stored"):
        store.shadow.record(row.id, Mirror(said, "x", {}, {}, 1.0), "late")


def raw(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.glob("feilun.db*"))


# by hand, and at bad moments


def test_hold_advance_and_abort(home, store, capsys):
    row = through_shadow(home, store, begin(home, store))
    crowd(store, row, 40)
    assert main(["--home", str(home), "rollout", "hold"]) == 0
    assert rolling.look(home, store).step == 0
    assert main(["--home", str(home), "rollout", "status"]) == 0
    told = capsys.readouterr().out
    assert all(line in told for line in ("held by hand", "more people would take it back", "nobody looks at it"))
    assert main(["--home", str(home), "rollout", "advance"]) == 0
    assert store.rollout().step == 1
    assert store.receipts()[-1].body["verdict"].startswith("by hand; ")
    with pytest.raises(UserError, match="is being rolled out"):
        run_turn(home, TurnSettings(prefer=PreferSettings(replay="x")))
    assert main(["--home", str(home), "rollout", "abort", "--reason", "not today"]) == 0
    assert (store.rollouts()[-1].stage, store.champion().model) == ("aborted", row.champion)
    assert "not today" in store.turn(row.turn_id).why
    assert "not today" in kept_account(home, store, store.turn(row.turn_id), "en")
    assert store.receipts()[-1].gate == "account"
    assert nobody_looks(store) == []
    assert main(["--home", str(home), "rollout", "abort"]) == 2
    assert store.set_champion(row.candidate, "by hand").model == row.candidate


def test_the_commands_of_the_page_run_in_order(home, store):
    page = (Path(__file__).parents[1] / "docs" / "rollout.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh test\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    begin(home, store)
    for line in block.splitlines():
        program, *words = shlex.split(line)
        assert (program, main(["--home", str(home), *words])) == ("feilun", 0), line
    assert store.rollouts()[-1].why == "broken off in the canary at 1%: another day"


def test_a_champion_changed_by_hand_ends_it(home, store):
    row = at_share(home, store, 0.05)
    store.set_champion("models/other@1", "by hand")
    row = rolling.look(home, store)
    assert (row.stage, "the champion was changed to models/other@1" in row.why) == ("aborted", True)
    assert store.champion().model == "models/other@1"


def test_who_decides_on_an_old_row_decides_nothing(home, store):
    row = through_shadow(home, store, begin(home, store))
    rolling.abort(home, store, "first")
    with pytest.raises(Conflict, match="has moved on"):
        store.move_rollout(row, RolloutMove(stage="canary", step=1, gate="g3", body={}))
    assert [receipt.gate for receipt in store.receipts()] == ["plan", "g1", "rollout", "g2", "g3", "account"]


KILLED = """
import os, signal, sys
from pathlib import Path
from feilun.store import Store, rollouts
from feilun.turn import rolling
name = sys.argv[2]
room, _, function = name.partition(".")
setattr(getattr(rollouts, room), function, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
with Store.open(Path(sys.argv[1])) as store:
    rolling.look(Path(sys.argv[1]), store)
"""


@pytest.mark.parametrize("moment", ["champion.promote", "receipts.append"])
def test_killed_in_the_middle_of_a_move_nothing_has_moved_and_the_next_look_does_it_once(home, store, moment):
    row = at_share(home, store, 0.5)
    crowd(store, row, 40)
    num_receipts = len(store.receipts())
    done = subprocess.run([sys.executable, "-c", KILLED, str(home), moment], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert (store.rollout().stage, store.champion().model, len(store.receipts())) == ("canary", row.champion, num_receipts)
    assert rolling.look(home, store).stage == "holdback"
    assert rolling.look(home, store).stage == "holdback"
    assert [champion.model for champion in store.history()] == [row.champion, row.candidate]
    assert [receipt.gate for receipt in store.receipts()][num_receipts:] == ["g3", "account"]


def test_a_watcher_takes_it_back_by_itself(home, store):

    row = at_share(home, store, 0.25)
    with rolling.keeping_rollouts(home, store, 0.02):
        crowd(store, row, 200, by_number(0.9))
        until(lambda: store.rollout() is None)
    assert store.rollouts()[-1].stage == "rolled_back"


def test_who_leaves_it_to_another_watcher_is_told_when_there_is_none(home, store):
    assert nobody_looks(store) == []
    begin(home, store)
    assert ["feilun turn --watch" in line for line in nobody_looks(store)] == [True]
    store.note(WATCH_NOTE, {"at": time.time()})
    assert nobody_looks(store) == []


def test_a_killed_watcher_is_followed_by_one_that_takes_it_back(home, store):
    row = at_share(home, store, 0.25)
    crowd(store, row, 100, by_number(0.95))
    watching = [sys.executable, "-m", "feilun.cli", "--home", str(home), "turn", "--watch"]
    first = subprocess.Popen(watching, stdout=subprocess.PIPE)
    assert b"watching" in first.stdout.readline()
    first.kill()
    first.communicate()
    assert store.rollout().stage == "canary"
    second = subprocess.Popen(watching, stdout=subprocess.DEVNULL)
    try:
        until(lambda: store.rollout() is None)
    finally:
        second.terminate()
        second.wait()
    assert store.rollouts()[-1].stage == "rolled_back"


# all of it, on people with a known truth


def test_doubled_complaints_are_taken_back_before_half_of_the_people_have_them():
    ends = [roll_out(seed, 2.0, 6000) for seed in range(6)]
    assert {end.stage for end in ends} == {"rolled_back"}
    assert sum(end.share < 0.5 for end in ends) >= 5


def test_harmless_candidates_reach_everybody():
    ends = [roll_out(seed, ratio, 800) for seed in range(10) for ratio in (1.0, 0.5)]
    assert sum(end.stage == "closed" for end in ends) >= 19
