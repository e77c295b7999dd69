"""A home with three generations that were never trained: the artifacts, rows and notes that a ring leaves behind."""

import json
from pathlib import Path
from typing import Any

from feilun.artifacts import draft, write_json
from feilun.store import CompletionRecord, FeedbackRequest, Store
from feilun.types import Decision

PRETRAIN, SFT = "pretrain-base-0123456789ab", "sft-first-0123456789ab"
PROBE = "9.11 和 9.8 哪个大?"
Row = dict[str, Any]


def publish(home: Path, kind: str, name: str, files: dict[str, Any], parents: list[str] | None = None, **counts: Any) -> str:
    """An artifact of texts and JSON; "kind/name@hash"."""
    with draft(home, kind, name, parents=parents or [], recipe={"name": name, "split": counts.pop("split", None)}) as work:
        for file, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            (work.path / file).write_text(text, encoding="utf-8")
        work.counts |= counts
    assert work.artifact is not None
    return f"{kind}/{work.artifact.ref}"


def lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def share(mean: float, n: int = 402) -> Row:
    return {"mean": mean, "low": max(0.0, mean - 0.04), "high": min(1.0, mean + 0.04), "n": n}


def make_corpus(home: Path) -> str:
    stats = {
        "documents": {"read": 100, "kept": 90, "dropped": 10, "train": 88, "validation": 2},
        "bytes": {"train": 2_000_000, "validation": 50_000}, "dropped": {"exact_duplicate": 10},
        "repaired": {"line_ends": 3, "unicode_nfc": 0},
        "languages": {"zh": {"documents": 50, "bytes": 1_200_000}, "en": {"documents": 40, "bytes": 850_000}},
    }  # fmt: skip
    return publish(home, "corpus", "demo", {"stats.json": stats})


def make_run(home: Path, name: str, settings: Row, steps: int, of: int = 100) -> None:
    path = home / "runs" / name
    path.mkdir(parents=True, exist_ok=True)
    stage, run_name, _ = name.split("-")
    write_json(path / "resolved.json", {"stage": stage, "name": run_name, "settings": {"num_steps": of, **settings}})
    rows = [{"step": step, "nll": 5 - 4 * step / of, "seconds": step / 10} for step in range(25, steps + 1, 25)]
    (path / "metrics.jsonl").write_text(lines(rows), encoding="utf-8")
    if stage == "pretrain":
        samples = [{"step": step, "prompt": "小明", "text": f"写到{step}"} for step in range(0, steps + 1, 50)]
        (path / "samples.jsonl").write_text(lines(samples), encoding="utf-8")


def make_exam(home: Path, model: str, split: str, hard: float) -> str:
    summary = {"number_hard": share(hard) | {"cells": {}, "reasons": {}}, "copying": share(0.99) | {"cells": {}, "reasons": {}}}
    probes = [{"prompt": PROBE, "reply": f"{hard:.0%}"}]
    files = {"answers.jsonl": "", "summary.json": summary, "probes.jsonl": lines(probes)}
    return publish(home, "exams", f"{model.split('/')[1].split('@')[0]}-{split}", files, [model], split=split)


def make_first(home: Path, store: Store) -> str:
    corpus = make_corpus(home)
    make_run(home, PRETRAIN, {"corpus": corpus.removeprefix("corpus/")}, 100)
    base = publish(home, "models", "base", {"config.json": {}}, [corpus], run=PRETRAIN)
    make_run(home, SFT, {"base": base.removeprefix("models/")}, 50, of=50)
    examples = publish(home, "lessons", "examples", {"sft.jsonl": lines([{"messages": []}])})
    first = publish(
        home, "models", "first", {"config.json": {}, "model.safetensors": "x" * 3000, "name.txt": "first"}, [base, examples], run=SFT
    )
    store.set_champion(first, "by hand, without a gate")
    make_exam(home, first, "final", 0.03)
    return first


def make_turn(home: Path, store: Store, name: str, verdict: str, hard: float) -> str:
    """One whole turn against the present champion; the candidate's ref."""
    champion = store.champion()
    assert champion is not None
    plan = {"name": name, "steps": ["collect", "curate", "train", "exam", "gate", "promote"], "settings": {}}
    turn = store.start_turn(plan | {"champion": {"model": champion.model, "epoch": champion.epoch}})
    files = {"sft.jsonl": lines([{"messages": [], "name": name}]), "pairs.jsonl": ""}
    lessons = publish(home, "lessons", name, files)
    model = publish(
        home, "models", name, {"config.json": {"of": name}, "model.safetensors": "y" * 700, "name.txt": name}, [champion.model, lessons]
    )
    make_exam(home, model, "final", hard)
    receipt = publish(home, "runs", f"{name}-gate", {"receipt.json": make_receipt(verdict, hard)}, [model])
    outputs = {
        "collect": {"new_events": 600}, "curate": {"lessons": lessons, "rows": 466}, "train": {"candidate": model}, "exam": {},
        "gate": {"verdict": verdict, "receipt": receipt},
    }  # fmt: skip
    if verdict == "promoted":
        row = store.set_champion(model, f"turn {turn} ({name}): {receipt}")
        outputs["promote"] = {"epoch": row.epoch}
    for step, output in outputs.items():
        store.claim_step(turn, step, "test", "hash", 60)
        store.finish_step(turn, step, "test", output)
    store.finish_turn(turn, verdict, "number_hard: 0.03 -> 0.87")
    return model


def make_receipt(verdict: str, hard: float) -> Row:
    rule = {
        "split": "gate",
        "must_rise": "number_hard",
        "max_fall": 0.05,
        "max_fall_bound": 0.1,
        "confidence": 0.95,
        "alpha": 0.01,
        "may_carry": ["all"],
        "min_answers": 400,
    }
    tasks = {
        name: {
            "passed": passed, "why": f"{name}: it stands in English here", "n": 402, "champion": before, "candidate": after,
            "difference": share(after - before),
        }
        for name, passed, before, after in (("number_hard", verdict == "promoted", 0.5, hard), ("copying", True, 0.99, 0.98))
    }  # fmt: skip
    return {"verdict": verdict, "why": [], "rule": rule, "tasks": tasks}


def blind(mean: float, n: int, users: int = 12) -> Row:
    wins = round(mean * n)
    return {"against": "?", "wins": wins, "losses": n - wins, "ties": 7, "both_bad": 5, "users": users, "share": share(mean, n)}


def make_home(home: Path, store: Store) -> list[str]:
    """first, turn-1 (promoted), turn-2 (refused), turn-3 (promoted), with the demo's table; their refs."""
    models = [make_first(home, store)]
    for name, verdict, hard in (("turn-1", "promoted", 0.87), ("turn-2", "refused", 0.85), ("turn-3", "promoted", 0.95)):
        models.append(make_turn(home, store, name, verdict, hard))
    choices = (None, blind(0.9, 219), blind(0.4, 30), blind(0.61, 212))
    table = [
        {"model": model, "acceptance": share(0.5 + 0.1 * number, 600), "blind": choice}
        for number, (model, choice) in enumerate(zip(models, choices, strict=True))
    ]  # fmt: skip
    store.note("progress", {"stage": "done", "table": table, "run": SFT, "corpus": ""})
    return models


def choose(store: Store, number: int, winner: str, loser: str, outcome: str = "win") -> None:
    """The owner chose between two models' answers to one question of conversation `number` // 2."""
    question = [{"role": "user", "content": f"question {number}"}]
    for side, model in enumerate((winner, loser)):
        store.record_completion(CompletionRecord(
            id=f"c{number}-{side}", principal="owner", model=model, thread_id=f"t{number // 2}", messages=question,
            choices=[{"index": 0, "text": f"{number} {model}", "finish_reason": "stop"}],
            decision=Decision(engine="native", model=model),
        ))  # fmt: skip
    value = {"over": [{"id": f"c{number}-1", "index": 0}], "outcome": outcome}
    store.record_feedback(FeedbackRequest(principal="owner", target_id=f"c{number}-0", kind="choice", value=value))
