"""A home in which a candidate is rolled out: people who ask, complain and wait, each by the lot that the rollout draws."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serve_house import House, make_model

from feilun.artifacts import draft, write_json
from feilun.config import RolloutSettings
from feilun.store import CompletionRecord, Exposure, FeedbackRequest, Mirror, RolloutRow, Store, uuid7
from feilun.turn import rolling
from feilun.turn.receipts import leave
from feilun.types import Decision

QUICK = RolloutSettings(shadow_pairs=4, shadow_seconds=0, stage_users=10, stage_answers=10, stage_seconds=0, stage_max_seconds=0)
ALL = RolloutSettings(shadow_share=1.0, shadow_pairs=3, shadow_seconds=0, shares=(0.3, 0.5), holdback_share=0.3)
NAMES = [f"key:shop/user-{number}" for number in range(2000)]


def make(home: Path, kind: str, name: str, events: tuple[str, ...] = (), parents: tuple[str, ...] = ()) -> str:
    with draft(home, kind, name, parents=list(parents)) as work:
        write_json(work.path / "model.json", {"name": name})
        work.counts["events"] = list(events)
    assert work.artifact is not None
    return f"{kind}/{work.artifact.ref}"


def begin(home: Path, store: Store, settings: RolloutSettings = QUICK, *, name: str = "turn-1") -> RolloutRow:
    """A turn whose candidate passed: the champion had learnt from "old-1", the candidate also from what "new" events say."""
    champion = store.champion()
    if champion is None:
        first = make(home, "models", "first", parents=(make(home, "lessons", "examples", ("old-1",)),))
        champion = store.set_champion(first, "test")
    new = tuple(event.id for event in store.events())
    lessons = make(home, "lessons", name, ("old-1", *new))
    candidate = make(home, "models", name, parents=(champion.model, lessons))
    turn = store.start_turn({"name": name, "steps": ["curate", "gate"], "champion": {"model": champion.model, "epoch": champion.epoch}})
    passed = leave(store, store.turn(turn), "g1", {"candidate": candidate}, {}, "promoted")
    for step, output in (("curate", {"lessons": lessons}), ("gate", {"receipt_hash": passed.hash})):
        store.claim_step(turn, step, "test", "x", 1.0)
        store.finish_step(turn, step, "test", output)
    row = rolling.begin(store, store.turn(turn), candidate, settings, salt=name)
    store.finish_turn(turn, "rolling_out", "it rose")
    return row


def begin_beside(house: House, settings: RolloutSettings = ALL) -> RolloutRow:
    """A rollout in the home of a server; its candidate echoes as "second"."""
    candidate, champion = make_model(house.home, "second"), house.store.champion()
    turn = house.store.start_turn({"name": "turn-1", "champion": {"model": champion.model, "epoch": champion.epoch}})
    row = rolling.begin(house.store, house.store.turn(turn), candidate, settings, salt="salt")
    house.store.finish_turn(turn, "rolling_out", "it rose")
    return row


def mirror(store: Store, row: RolloutRow, number: int, *, fault: str = "", seconds: float = 0.2) -> str:
    said = ask(store, row, NAMES[number], exposed=False)
    sides = (
        {"seconds": 0.2, "chars": 9, "finish_reason": "stop", "fault": ""},
        {"seconds": seconds, "chars": 9, "finish_reason": "stop", "fault": fault},
    )
    store.shadow.record(row.id, Mirror(said, row.who(NAMES[number]), *sides, at=float(number)), f"mirrored {number}")
    return said


def ask(store: Store, row: RolloutRow, who: str, *, exposed: bool = True, fault: str = "", seconds: float = 0.2, asked: str = "") -> str:
    """One answer to somebody, by the model that the lot gives them; its id."""
    number, key = row.number_of(who), uuid7()
    arm = "candidate" if number < row.share else "champion"
    lot = row.lot if number >= row.share_before else 1.0
    exposure = Exposure(row.id, row.who(who), row.stage, row.step, lot, arm, fault) if exposed else None
    model = row.candidate if arm == "candidate" and exposed else row.champion
    store.record_completion(
        CompletionRecord(
            id=f"chatcmpl-{key}", principal=who, model=model, thread_id=asked or key, exposure=exposure,
            started=100.0, finished=100.0 + seconds, decision=Decision(engine="echo", model=model),
            messages=[{"role": "user", "content": asked or f"question {key}"}],
            choices=[{"index": 0, "text": f"answer {key}", "finish_reason": "stop", "num_tokens": 3}],
        )
    )  # fmt: skip
    return f"chatcmpl-{key}"


def complain(store: Store, who: str, completion: str) -> None:
    store.record_feedback(FeedbackRequest(principal=who, target_id=completion, kind="thumb", value=-1, idempotency_key=f"no-{completion}"))


def crowd(store: Store, row: RolloutRow, num: int, complains: Callable[[str, str], bool] = lambda who, arm: False) -> None:
    """So many people ask once, many at a time; those complain of whom `complains(who, arm)` says so."""

    def come(who: str) -> None:
        said = ask(store, row, who)
        if complains(who, "candidate" if row.number_of(who) < row.share else "champion"):
            complain(store, who, said)

    with ThreadPoolExecutor(24) as pool:
        list(pool.map(come, NAMES[:num]))


def through_shadow(home: Path, store: Store, row: RolloutRow) -> RolloutRow:
    for number in range(row.plan["shadow"]["pairs"]):
        mirror(store, row, number)
    found = rolling.look(home, store)
    assert found is not None
    assert (found.stage, found.step) == ("canary", 0)
    return found


def at_share(home: Path, store: Store, share: float, settings: RolloutSettings = QUICK) -> RolloutRow:
    """A new rollout, moved on by hand as far as this share of the people."""
    begin(home, store, settings)
    return to_share(home, store, share)


def to_share(home: Path, store: Store, share: float) -> RolloutRow:
    row = store.rollout()
    while row is not None and row.share < share:
        row = rolling.advance(home, store)
    assert row is not None
    return row
