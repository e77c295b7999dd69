"""A turn in plain words, as Markdown: what was learnt and from how many people, what got better and worse, what was refused and why.

It holds figures and no sentence of anybody's, so that nothing in it has to be erased with a person. When a turn ends, turn/account.py
keeps it beside the receipt.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feilun.artifacts import find, read_json, read_rows
from feilun.store import Store, TurnRow
from feilun.types import UserError

__all__ = ["ACCOUNT", "LANGUAGES", "account_of", "file_of", "kept_account"]

ACCOUNT = "account"  # the word in the chain of receipts that names it
LANGUAGES = ("zh", "en")
WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "promoted": "the new model answers now", "refused": "the new model was refused", "failed": "the turn failed",
        "running": "it is not finished", "rolling_out": "the new model comes to people step by step", "learnt": "What was learnt",
        "rows": "Lessons: {rows}; comparisons: {pairs}; people: {people}; acts of feedback: {events}.",
        "from": "Of these: {used}.", "gone": "The lessons of this turn were erased since; its figures stay.",
        "dropped": "Not learnt from: {dropped}.", "nothing": "Nothing was learnt: the turn ended before that.",
        "figures": "What got better and what got worse", "row": "- {task}: {before} → {after} ({low} to {high}, n = {n}){verdict}",
        "bare": "- {task}: {why}", "fell": ", not good enough", "better": ", better", "worse": ", worse", "unsure": ", no sure difference",
        "best": "; against {best}, the best before it: {mean} ({low} to {high})",
        "taught": "Of {total} corrections that were asked, {kept} are answered as taught.",
        "why": "Why", "models": "Compared: {champion} with {candidate}.", "unknown": "nothing was compared",
    },
    "zh": {
        "promoted": "新模型现在开始回答", "refused": "新模型没有被采用", "failed": "这一轮失败了", "running": "还没有结束",
        "rolling_out": "新模型正一步步交给用户试用",
        "learnt": "学到了什么", "rows": "{rows} 条教材、{pairs} 组比较，来自 {people} 个人的 {events} 次反馈。",
        "from": "其中：{used}。", "gone": "这一轮的教材后来被抹去了；数字还在。",
        "dropped": "没有用来学习的：{dropped}。", "nothing": "什么也没有学：这一轮在那之前就结束了。",
        "figures": "哪里变好了，哪里变差了", "row": "- {task}：{before} → {after}（{low} 到 {high}，n = {n}）{verdict}",
        "bare": "- {task}：{why}", "fell": "，不够好",
        "better": "，变好了", "worse": "，变差了", "unsure": "，看不出差别",
        "best": "；与此前最好的 {best} 相比：{mean}（{low} 到 {high}）",
        "taught": "问到的 {total} 条纠正中，{kept} 条已按教的回答。",
        "why": "原因", "models": "相比较的：{champion} 与 {candidate}。", "unknown": "没有比较过什么",
    },
}  # fmt: skip
COUNTED = {"zh": "{kind} {n} 条", "en": "{n} {kind}"}
JOINED = {"zh": "、", "en": ", "}


def account_of(home: Path, turn: TurnRow, language: str) -> str:
    """The account of a turn, finished or not; UserError for a language that is not spoken here."""
    if language not in LANGUAGES:
        raise UserError(f"language {language!r} is not spoken here; allowed: {', '.join(LANGUAGES)}")
    words = WORDS[language]
    receipt = _read(home, _output(turn, "gate").get("receipt"), "receipt.json")
    lines = [f"# {turn.plan.get('name', turn.id)}: {words[turn.state]}", "", f"## {words['learnt']}", "", *_learnt(home, turn, language)]
    lines += ["", f"## {words['figures']}", "", *_figures(receipt, words)]
    if turn.why:
        lines += ["", f"## {words['why']}", "", *(f"- {line}" for line in turn.why.splitlines() if line)]
    return "\n".join(lines) + "\n"


def file_of(language: str) -> str:
    return f"account.{language}.md"


def kept_account(home: Path, store: Store, turn: TurnRow, language: str) -> str:
    """The account as it was written when the turn came to its state; as `account_of` tells it now where none was, or its file is gone."""
    told = (row.body for row in store.receipts(turn.id) if row.gate == ACCOUNT)
    named = [body["inputs"]["account"] for body in told if body["verdict"] == turn.state]
    try:
        return (find(home, str(named[-1])).path / file_of(language)).read_text(encoding="utf-8")
    except (IndexError, UserError, OSError):
        return account_of(home, turn, language)


def _output(turn: TurnRow, step: str) -> Mapping[str, Any]:
    return turn.steps[step].output if step in turn.steps else {}


def _read(home: Path, ref: object, name: str) -> Mapping[str, Any]:
    """A JSON file of an artifact; empty where that was erased, deleted, or never made."""
    try:
        found = read_json(find(home, str(ref)).path / name) if ref else {}
    except (UserError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _learnt(home: Path, turn: TurnRow, language: str) -> Iterator[str]:
    words, ref = WORDS[language], _output(turn, "curate").get("lessons")
    report = _read(home, ref, "report.json")
    if not report:
        yield words["gone" if ref else "nothing"]
        return
    counts = find(home, str(ref)).manifest["counts"]
    people = len({row["rater"] for row in read_rows(find(home, str(ref)).path / "sft.jsonl") if "rater" in row})
    yield words["rows"].format(rows=report["num_rows"], pairs=report["num_pairs"], people=people, events=len(counts.get("events", ())))
    for word, counted in (("from", report["used"]), ("dropped", report["dropped"])):
        if counted:
            yield words[word].format(**{"used": _told(counted, language), "dropped": _told(counted, language)})


def _told(counts: Mapping[str, int], language: str) -> str:
    return JOINED[language].join(COUNTED[language].format(kind=kind, n=n) for kind, n in counts.items())


def _figures(receipt: Mapping[str, Any], words: Mapping[str, str]) -> Iterator[str]:
    if not receipt:
        yield words["unknown"]
        return
    yield words["models"].format(champion=receipt.get("champion", "?"), candidate=receipt.get("candidate", "?"))
    if taught := receipt.get("taught"):
        yield words["taught"].format(total=len(taught), kept=sum(bool(row["kept"]) for row in taught))
    yield ""
    for task, found in receipt.get("tasks", {}).items():
        difference = found.get("difference")
        if difference is None:
            yield words["bare"].format(task=task, why=found.get("why", ""))
            continue
        sign = "better" if difference["low"] > 0 else "worse" if difference["high"] < 0 else "unsure"
        verdict = words[sign] + ("" if found["passed"] else words["fell"])
        shares = {"before": f"{found['champion']:.1%}", "after": f"{found['candidate']:.1%}"}
        bounds = {"low": f"{difference['low']:+.1%}", "high": f"{difference['high']:+.1%}"}
        row = words["row"].format(task=task, n=found["n"], verdict=verdict, **shares, **bounds)
        if from_best := found.get("from_best"):
            row += words["best"].format(best=found["best"], **{name: f"{from_best[name]:+.1%}" for name in ("mean", "low", "high")})
        yield row
